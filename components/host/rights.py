"""What a container may do to its VM, unless its service lists more."""

from components.units import MEBIBYTE

SECURITY_OPTIONS = ("no-new-privileges:true",)

PIDS = 1024
"""How many processes and threads a container may have: enough for servers with a thread for each of
some hundred clients, and a tenth of what a VM of 2 GiB has room for."""

_KEPT_PART, _KEPT_LEAST = 8, 128 * MEBIBYTE


def memory_limit(memory: int) -> int:
    """Return how much memory one container may use on a VM of so many bytes, in MiB.

    An eighth stays, at least 128 MiB: Docker, sshd and the agent take about 100 MiB. Without a
    limit the kernel would choose among all processes of the VM when there is no more.
    """
    return (memory - max(memory // _KEPT_PART, _KEPT_LEAST)) // MEBIBYTE
