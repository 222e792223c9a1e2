"""Waiting for a condition, or for Docker to answer."""

import time
from collections.abc import Callable
from typing import TypeVar

from remote.vm_agent.errors import AgentError

POLL_SECONDS = 0.25
_DOCKER_SECONDS = 180.0
"""For Docker to answer; while it starts a container it may not, 120 s on a busy emulated CPU."""

Answer = TypeVar("Answer")


def pause() -> None:
    """Wait until the next try."""
    time.sleep(POLL_SECONDS)


def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition came true within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause()
    return True


def insist(question: Callable[[], Answer], seconds: float = _DOCKER_SECONDS) -> Answer:
    """Return Docker's answer, asking again while Docker is too busy.

    Raises:
        AgentError: It has not answered in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return question()
        except OSError as error:
            if time.monotonic() > deadline:
                raise AgentError(
                    f"Docker does not answer within {seconds:.0f} s: {error}"
                ) from error
        pause()
