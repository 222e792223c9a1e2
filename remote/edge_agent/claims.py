"""Check, before any change, that a folder is the edge's, and that the edge has no other folder."""

import re
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from remote.edge_agent import chroot, places, processes, systemd, users, versions
from remote.edge_agent.facts import Listener
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, text_of

_FIRST = {
    "lock",
    "chroot.lock",
    "servers.state",
    "keeper.pyz.part",
    "keeper.part",
    users.USERS,
    chroot.FOLDER,
}
"""Names that are allowed in an edge's folder before the edge agent's copy is there."""
_USERLISTS = re.compile(r"[0-9a-f]{16}\.cfg(\.part)?")


def check_is_edge(instance: Instance) -> None:
    """Check that the folder is an edge's: it has a copy of the edge agent.

    Raises:
        EdgeError: It has no copy.
    """
    if not instance.program.is_file():
        raise EdgeError(
            f"edge.folder: no edge is in {instance.folder}, which has no {instance.program.name};"
            " nothing was changed; give the folder of an edge"
        )


def check(
    instance: Instance, listeners: Collection[Listener] = (), *, removes: bool = False
) -> None:
    """Check that the folder is the edge's, and that the edge has no other folder.

    Args:
        instance: The edge.
        listeners: Those of the haproxy.cfg to apply.
        removes: Whether the edge is to be removed.

    Raises:
        EdgeError: The folder is not the edge's, or the edge has another one.
    """
    folder = instance.folder
    if folder.exists() and not folder.is_dir():
        raise EdgeError(f"edge.folder: is not a folder; choose another one (got {folder})")
    for serving in places.serving():
        problem = places.problem(instance, serving, listeners)
        # systemd also ends an edge that has lost its folder.
        if problem and not (removes and instance.under_systemd and serving.folder == folder):
            raise EdgeError(f"edge.folder: {problem} (got {folder.parent})")
    foreign = [] if _is_edge(instance) else sorted(_foreign(folder))
    if foreign:
        raise EdgeError(
            "edge.folder: contains files that are not the edge's, and would be deleted with it:"
            f" {', '.join(foreign[:3])}; choose an empty folder, or if it is an edge's and has only"
            f" lost its {instance.program.name}, run `touch {instance.program}` and then this again"
            f" (got {folder})"
        )
    for name in _other_names(instance):
        raise EdgeError(
            f"edge.folder: {folder} is the folder of the edge {name}, which would be changed or"
            f" ended with it; give its name, or another folder (got {instance.name})"
        )
    for other in _others(instance, {each.where for each in listeners}):
        raise EdgeError(
            f"edge.folder: the edge of the stack {instance.name} on {socket.gethostname()} is in"
            f" {other} and does not move while it serves; set edge.folder to {other.parent} again,"
            " or stop that edge first, which ends all that it serves, with `python3"
            f" {other}/keeper.pyz remove {other} {instance.name}` there (got {folder.parent})"
        )


def _is_edge(instance: Instance) -> bool:
    """Whether the folder is an edge's, also without the edge agent's copy."""
    if instance.program.is_file():
        return True
    if any(
        versions.stamped(text_of(path)) == path.parent.name
        for path in (instance.folder / versions.FOLDER).glob("*/haproxy.cfg")
        if path.is_file()
    ):
        return True
    if instance.under_systemd:
        return systemd.folder_of(instance.unit) == instance.folder
    return any(each.folder == instance.folder for each in places.serving())


def _foreign(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in _FIRST or not _is_left(path):
                yield path.name


def _is_left(path: Path) -> bool:
    """Whether a killed first run may have left this file; looks at more than its name."""
    if path.name == users.USERS:
        return path.is_dir() and all(_USERLISTS.fullmatch(each.name) for each in path.iterdir())
    if path.name == chroot.FOLDER:
        inside = path.rglob("*")
        return path.is_dir() and all(each.is_dir() or each.is_socket() for each in inside)
    if path.suffix in {"", ".lock"}:
        return path.is_file() and path.stat().st_size == 0
    return path.is_file()


def _other_names(instance: Instance) -> Iterator[str]:
    """Yield the names of other edges that serve from this edge's folder."""
    if instance.under_systemd:
        for unit in systemd.UNITS.glob("gatehouse-*.service"):
            if unit.name != instance.unit and _is_same(systemd.folder_of(unit.name), instance):
                yield unit.name.removeprefix("gatehouse-").removesuffix(".service")
        return
    for folder, name in processes.logging():
        if folder == instance.folder and name != instance.name:
            yield name


def _is_same(folder: Path | None, instance: Instance) -> bool:
    """Whether a folder is the edge's, perhaps by another path."""
    if folder is None or folder == instance.folder:
        return folder is not None
    return folder.exists() and instance.folder.exists() and folder.samefile(instance.folder)


def _others(instance: Instance, ports: set[str]) -> Iterator[Path]:
    """Yield the other folders of edges that have this edge's unit or ports.

    Another path of the same folder counts as another folder: see `places`.
    """
    for folder in _folders(instance, ports):
        if folder != instance.folder and folder.is_dir():
            yield folder


def _folders(instance: Instance, ports: set[str]) -> Iterator[Path]:
    if instance.under_systemd:
        found = systemd.folder_of(instance.unit)
        if found is not None:
            yield found
        return
    for folder, name in processes.logging():
        with suppress(OSError):
            if name == instance.name and ports & _ports(folder, name):
                yield folder


def _ports(folder: Path, name: str) -> set[str]:
    """Return the addresses and ports of the edge in another folder."""
    live = Instance(str(folder), name).live_version()
    return {each.where for each in live.known().listeners}
