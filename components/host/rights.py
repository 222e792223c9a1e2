"""The limits of a container on its VM, unless its service's config raises them."""

from components.config.units import MEBIBYTE

SECURITY_OPTIONS = ("no-new-privileges:true",)

_KEPT_PART, _KEPT_LEAST = 8, 128 * MEBIBYTE


def memory_limit(memory: int) -> int:
    """Return how much memory one container may use on a VM of so many bytes, in MiB.

    An eighth stays, at least 128 MiB: Docker, sshd and the agent take about 100 MiB. Without a
    limit the kernel would choose among all processes of the VM when there is no more.
    """
    return (memory - max(memory // _KEPT_PART, _KEPT_LEAST)) // MEBIBYTE
