"""Install missing programs on the edge's host from its distribution.

Nothing is upgraded or removed. No service of a new package is started or left enabled, because the
edge has its own unit.
"""

import fcntl
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from remote.edge_agent.system import EdgeError, find, run
from remote.texts import template_of

OLDEST_HAPROXY = (2, 6)
"""The oldest HAProxy that can read haproxy.cfg."""

LOCK = Path("/run/gatehouse-packages.lock")
DPKG_LOCK = Path("/var/lib/dpkg/lock-frontend")
"""The lock of apt, which continues if the run that called it is killed."""
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_BACKUP = Path("/usr/sbin/policy-rc.d.gatehouse-saved")
POLICY_TEXT = template_of("remote.edge_agent", "policy-rc.d").substitute()
"""The policy's text while packages are installed; a line with their names may follow."""
_PACKAGES = "# packages: "
_APT = (
    *("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l"),
    *("apt-get", "-o", "DPkg::Lock::Timeout=300"),
)
_UMASK = 0o022  # everybody may read a package's files, unlike the edge's
_LAST_LINES = 10


def haproxy() -> str:
    """Return the path of a suitable HAProxy; install it if there is none.

    Raises:
        EdgeError: It cannot be installed, or is too old.
    """
    found = program("haproxy")
    told = run(found, "-v").stdout
    version = haproxy_version(told)
    oldest = ".".join(map(str, OLDEST_HAPROXY))
    if version is None:
        raise EdgeError(f"{found} -v on {socket.gethostname()} shows no version: {told!r}")
    if version < OLDEST_HAPROXY:
        have = ".".join(map(str, version))
        raise EdgeError(
            f"HAProxy {have} on {socket.gethostname()} is too old: the edge needs {oldest} or"
            " newer, which Debian has since 12; install a newer one there"
        )
    return found


def haproxy_version(told: str) -> tuple[int, ...] | None:
    """Return the version in the output of ``haproxy -v``."""
    found = re.search(r"HA-?Proxy version (\d+)\.(\d+)(?:\.(\d+))?", told)
    return tuple(int(part) for part in found.groups() if part is not None) if found else None


def program(name: str) -> str:
    """Return the path of a program; install the package of its name if it is missing.

    Raises:
        EdgeError: It cannot be installed.
    """
    found = find(name)
    if found is not None:
        return found
    host = socket.gethostname()
    if find("apt-get") is None:
        raise EdgeError(
            f"{name} is not installed on {host}, which has no apt-get; install it there"
        )
    if os.geteuid() != 0:
        raise EdgeError(
            f"{name} is not installed on {host}, and only root can; run `apt-get install {name}`"
        )
    with installing(POLICY, POLICY_BACKUP, LOCK, (name,)):
        _install(name, host)
        disable_units((name,))
    found = find(name)
    if found is None:
        raise EdgeError(f"the package {name} on {host} has no program {name}; install it there")
    return found


def _install(name: str, host: str) -> None:
    install = (*_APT, "install", "--yes", "--no-install-recommends", name)
    if run(*install, umask=_UMASK).returncode == 0:
        return
    # If dpkg was interrupted, by a power failure for instance, it installs nothing before this.
    if find("dpkg") is not None:
        run("dpkg", "--configure", "-a", umask=_UMASK)
    # The lists may be older than the mirror, or not be there at all.
    run(*_APT, "update", umask=_UMASK)
    done = run(*install, umask=_UMASK)
    if done.returncode != 0:
        last = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-_LAST_LINES:])
        raise EdgeError(f"`apt-get install {name}` on {host} fails; its last lines:\n{last}")


@contextmanager
def installing(
    policy: Path, backup: Path, lock: Path, packages: Iterable[str] = ()
) -> Iterator[None]:
    """Stop invoke-rc.d from starting services while the block runs; then restore the policy.

    Args:
        policy: The file that invoke-rc.d asks.
        backup: The place of the machine's own policy meanwhile.
        lock: The lock against another program that does the same.
        packages: The packages; if this run is killed, the next one disables their units.
    """
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mend(policy, backup)
        if os.path.lexists(policy):
            policy.rename(backup)
        try:
            # Written atomically, so that a complete file is recognized as ours.
            part = _part(policy)
            part.unlink(missing_ok=True)
            part.write_text(f"{POLICY_TEXT}{_PACKAGES}{' '.join(packages)}\n")
            part.chmod(0o755)
            part.replace(policy)
            yield
        finally:
            mend(policy, backup)


def mend_if_left() -> None:
    """Restore the machine's own policy if an earlier run was killed while it installed something.

    Nothing is done while packages are installed.
    """
    left = is_ours(POLICY) or os.path.lexists(POLICY_BACKUP) or os.path.lexists(_part(POLICY))
    if not left or os.geteuid() != 0 or _is_locked(DPKG_LOCK):
        return
    with LOCK.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            disable_units(_packages_in(POLICY))
        finally:
            mend(POLICY, POLICY_BACKUP)


def mend(policy: Path, backup: Path) -> None:
    """Restore the machine's own ``policy``, also after a run that was killed meanwhile."""
    _part(policy).unlink(missing_ok=True)
    if os.path.lexists(backup):
        backup.replace(policy)
    elif is_ours(policy):
        policy.unlink()


def is_ours(policy: Path) -> bool:
    """Return whether a policy is the temporary one, for the time of an installation."""
    return policy.is_file() and policy.read_text(errors="replace").startswith(POLICY_TEXT)


def _is_locked(path: Path) -> bool:
    """Whether a process holds a lock of fcntl(2) on a file; takes none."""
    layout = "hhqqi0q"  # struct flock
    asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with path.open("rb") as file:
            told = fcntl.fcntl(file, fcntl.F_GETLK, asked)
    except FileNotFoundError:
        return False
    return bool(struct.unpack(layout, told)[0] != fcntl.F_UNLCK)


def _part(policy: Path) -> Path:
    return policy.with_name(f"{policy.name}.gatehouse-part")


def _packages_in(policy: Path) -> list[str]:
    """Return the packages that a run installed with this policy and did not finish."""
    if not is_ours(policy):
        return []
    told = policy.read_text(errors="replace").removeprefix(POLICY_TEXT)
    return told.removeprefix(_PACKAGES).split()


def disable_units(packages: Iterable[str]) -> None:
    """Keep systemd from starting the units of new packages at the next boot.

    Raises:
        EdgeError: systemctl fails.
    """
    if shutil.which("systemctl") is None:
        return
    listed = (run("dpkg", "--listfiles", name).stdout for name in packages)
    units = sorted(unit for paths in listed for unit in unit_files(paths))
    if units and (done := run("systemctl", "disable", *units)).returncode != 0:
        raise EdgeError(
            f"systemctl disable {' '.join(units)}: {done.stdout.strip()}: the packages are"
            " installed; disable these units yourself and run this again"
        )


def unit_files(paths: str) -> list[str]:
    """Return the systemd services, sockets and timers among paths, a line each; no templates."""
    units = []
    for line in paths.splitlines():
        path = Path(line)
        in_place = path.parent.as_posix() in ("/lib/systemd/system", "/usr/lib/systemd/system")
        if in_place and path.suffix in (".service", ".socket", ".timer") and "@" not in path.name:
            units.append(path.name)
    return units
