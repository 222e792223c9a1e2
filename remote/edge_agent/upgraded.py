"""Detect that an upgrade has replaced HAProxy or one of its libraries, and reload it.

A reload is enough: it starts the master anew from its file, and the workers with it.
"""

import re
from pathlib import Path

from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, haproxy, run
from remote.edge_agent.tls import current

_PROC = Path("/proc")
# Address, rights, offset, device, inode and path. Only executable files count; executable memory
# without a file has such a path too, and does not count.
_REPLACED = re.compile(r"\S+ ..x\S+ \S+ \S+ \d+ +(?!/memfd:|/dev/|/SYSV)/.* \(deleted\)$")


def is_outdated(pid: int, proc: Path = _PROC) -> bool:
    """Return whether a process's program, or one of its libraries, was replaced."""
    try:
        maps = (proc / str(pid) / "maps").read_text(errors="replace")
    except OSError:  # it has ended
        return False
    return any(_REPLACED.match(line) for line in maps.splitlines())


def run_what_is_installed(instance: Instance) -> bool:
    """Reload HAProxy if it runs a replaced program, and return whether that was needed.

    Raises:
        EdgeError: The new program refuses the configuration.
    """
    worker = instance.worker()
    if worker is None or not is_outdated(worker.pid):
        return False
    tested = run(haproxy(), "-c", "-f", str(instance.live))
    if tested.returncode != 0:
        raise EdgeError(
            "HAProxy was upgraded, and the new program refuses the edge's configuration; the old"
            f" one keeps serving:\n{tested.stdout}"
        )
    checks = current(instance).known().checks
    instance.save_state(checks, checks)
    try:
        if not instance.reload():
            raise EdgeError(
                "HAProxy was upgraded, but did not load its configuration with the new"
                f" program; the old one keeps serving:\n{instance.last_words()}"
            )
    finally:
        instance.forget_state()
    return True
