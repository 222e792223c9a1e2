"""Run virsh without a prompt and with a time limit."""

import subprocess

from controller.commands import run

_SECONDS = 60


def virsh(uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one virsh command on the hypervisor at ``uri``; the caller checks its exit code.

    Raises:
        subprocess.TimeoutExpired: libvirt does not answer in time.
    """
    return run("virsh", "--connect", uri, "--quiet", *arguments, seconds=_SECONDS)
