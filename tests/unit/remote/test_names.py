"""The names that both sides use are the same on both."""

from remote import names
from remote.vm_agent import agent


def test_the_agents_copies_are_the_same() -> None:
    assert names.SLOT_LABEL == agent._SLOT_LABEL
    assert names.AGENT_FOLDER == agent.FOLDER
