"""The limits of a container on its VM, unless its service's config raises them."""

from components.config.units import MEBIBYTE

SECURITY_OPTIONS = ("no-new-privileges:true",)

_KEPT_PART, _KEPT_LEAST = 8, 128 * MEBIBYTE


def memory_limit(memory: int) -> int:
    """Return the default memory limit of a container in MiB, for a VM of so many bytes.

    An eighth stays free, at least 128 MiB: Docker, sshd and the agent take about 100 MiB. Without a
    limit, the kernel would choose any process of the VM to kill when memory runs out.
    """
    return (memory - max(memory // _KEPT_PART, _KEPT_LEAST)) // MEBIBYTE
