"""The errors of the stand-ins, by how they are handled."""

from __future__ import annotations

from lab.providers.values import Props


class ProviderError(Exception):
    """An operation cannot be done. The text names the resource or path, and what to do."""


class Refused(ProviderError):  # noqa: N818 - reads better in `raise`
    """The program uses something that the lab does not implement."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        """The input, as Pulumi writes a path; empty if it is about the whole resource."""


class PartlyCreated(ProviderError):  # noqa: N818 - reads better in `raise`
    """A creation failed after the resource came to exist, so the state has to keep it.

    The next run updates it, as Pulumi does with a resource whose initialization failed.
    """

    def __init__(self, identifier: str, outputs: Props, message: str) -> None:
        super().__init__(message)
        self.identifier = identifier
        self.outputs = outputs


class ProviderUnreachable(ProviderError):  # noqa: N818 - reads better in `raise`
    """libvirt or Docker does not answer; a later try may succeed."""
