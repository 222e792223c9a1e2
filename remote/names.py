"""Names that the program and what runs elsewhere both use.

The agent on a VM is sent as one file, so it has copies of these; a test compares them.
"""

SLOT_LABEL = "gatehouse.slot"
"""On each container of a service: the slot that it fills. Its own name is generated."""

AGENT_PROGRAM = "agent.py"
"""The agent's file in the home of the user that may enter a VM."""

AGENT_FOLDER = "/var/lib/gatehouse"
"""The agent's own folder on a VM."""
