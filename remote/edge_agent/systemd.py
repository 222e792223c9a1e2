"""The systemd unit of an edge, and the rights of the processes in our units."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from remote.edge_agent.system import run, text_of
from remote.files import write_whole
from remote.texts import template_of

UNITS = Path("/etc/systemd/system")
"""The folder for a machine's own systemd units."""
RESTART_SECONDS = 0.2
"""The pause before an HAProxy that has ended is restarted."""
STOP_SECONDS = 30.0

_CAPABILITIES = (
    "CHOWN",  # gives the workers their sockets,
    "FOWNER",  # and sets the mode of them then
    "KILL",  # the master sends signals to its workers
    "NET_BIND_SERVICE",
    *("SETGID", "SETUID", "SYS_CHROOT"),  # how a worker comes to have no rights
)
"""The capabilities that HAProxy's master uses. Without the others, root cannot open all files."""

_UNIT = template_of("remote.edge_agent", "edge.service")
CONFINED = template_of("remote.edge_agent", "confined.conf").substitute().removesuffix("\n")
"""The part of a unit's text that forbids what neither HAProxy nor the renewal needs."""


def write_units(texts: Mapping[str, str]) -> None:
    """Write units, by their names, and make systemd load them."""
    new = {
        UNITS / name: text
        for name, text in texts.items()
        if not (UNITS / name).exists() or text_of(UNITS / name) != text
    }
    for path, text in new.items():
        write_whole(path, text, mode=0o644)  # systemd warns about other modes
    # An earlier run may have been killed between the two.
    if new or "yes" in _needs_reload(texts):
        run("systemctl", "daemon-reload")


def _needs_reload(names: Iterable[str]) -> list[str]:
    told = run("systemctl", "show", "--property", "NeedDaemonReload", "--value", *names)
    return told.stdout.split()


def remove_units(*names: str) -> None:
    """Stop units and remove them."""
    run("systemctl", "disable", "--now", names[0])
    for name in names:
        (UNITS / name).unlink(missing_ok=True)
        (UNITS / f"{name}.part").unlink(missing_ok=True)
    run("systemctl", "daemon-reload")


def folder_of(unit: str) -> Path | None:
    """Return the folder of the edge that a unit of ours runs, or None if the unit is missing."""
    try:
        text = text_of(UNITS / unit)
    except OSError:
        return None
    found = re.search(r"^ExecStart=.* -f (/\S+)/haproxy\.cfg ", text, re.MULTILINE)
    return Path(found[1]) if found else None


def confined(command: Sequence[str]) -> list[str]:
    """Return HAProxy's command with the unit's capabilities, for hosts without systemd."""
    kept = ",".join(("-all", *(f"+{each.lower()}" for each in _CAPABILITIES)))
    return ["setpriv", "--no-new-privs", f"--bounding-set={kept}", *command]


def unit_text(name: str, folder: Path, command: Sequence[str], started: Sequence[str]) -> str:
    """Return the systemd unit that keeps an edge running, whatever ends it and however often.

    Args:
        name: The edge's name.
        folder: The only folder in which it may write.
        command: HAProxy's command line.
        started: The command that runs after each start.
    """
    return _UNIT.substitute(
        name=name,
        command=" ".join(command),
        started=" ".join(started),
        stop_seconds=f"{STOP_SECONDS:.0f}",
        restart_ms=f"{RESTART_SECONDS * 1000:.0f}",
        capabilities=" ".join(f"CAP_{each}" for each in _CAPABILITIES),
        confined=CONFINED,
        folder=folder,
    )
