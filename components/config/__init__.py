"""The stack config: models, further checks, facts about this machine, the reference."""
