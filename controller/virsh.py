"""Run virsh without a prompt and with a time limit."""

import subprocess

_SECONDS = 60


def virsh(uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one virsh command on the hypervisor at ``uri``; its exit code is for the caller to see.

    Raises:
        subprocess.TimeoutExpired: There is no answer.
    """
    return subprocess.run(
        ("virsh", "--connect", uri, "--quiet", *arguments),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
    )
