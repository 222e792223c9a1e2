"""The stack config: models, what is checked beyond them, facts of this machine, the reference."""
