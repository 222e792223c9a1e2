"""What can go wrong, told apart by what the engine does about it."""

from __future__ import annotations

from lab.engine.values import Props


class EngineError(Exception):
    """An operation cannot be done. The text names the resource or path, and what to do."""


class Refused(EngineError):  # noqa: N818 - what it says about the program
    """The program uses something that the lab engine does not implement."""


class PartlyCreated(EngineError):  # noqa: N818 - what has happened
    """A creation failed after the thing came to exist, so the state has to keep it.

    The next run updates it, as Pulumi does with a resource whose initialisation failed.
    """

    def __init__(self, identifier: str, outputs: Props, message: str) -> None:
        super().__init__(message)
        self.identifier = identifier
        self.outputs = outputs


class Unreachable(EngineError):  # noqa: N818 - what it is
    """What would have to be asked does not answer; asking again later may help."""
