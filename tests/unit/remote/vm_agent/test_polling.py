"""Waiting for Docker."""

import pytest

from remote.vm_agent import polling
from remote.vm_agent.errors import AgentError


def test_docker_is_not_asked_for_ever() -> None:
    def never() -> None:
        raise TimeoutError("timed out")

    with pytest.raises(AgentError, match="Docker does not answer within 0 s: timed out"):
        polling.insist(never, 0)
