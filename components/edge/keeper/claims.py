"""Checks before any change that a folder is the edge's own, and that it has no other folder."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from components.edge.keeper import chroot, systemd, users
from components.edge.keeper.instance import Instance
from components.edge.keeper.ports import listening
from components.edge.keeper.system import EdgeError

_FIRST = {"lock", "chroot.lock", "servers.state", users.USERS, chroot.FOLDER}
"""What may be in an edge's folder that has no copy of the keeper yet."""


def check(instance: Instance, text: str = "") -> None:
    """Check that the folder is the edge's own, and that the edge has no other folder.

    Args:
        instance: The edge.
        text: The haproxy.cfg to apply.

    Raises:
        EdgeError: The folder is not, or the edge has another one.
    """
    folder = instance.folder
    if folder.exists() and not folder.is_dir():
        raise EdgeError(f"edge.folder: is not a folder; choose another one (got {folder})")
    foreign = [] if instance.program.exists() else sorted(_foreign(folder))
    if foreign:
        raise EdgeError(
            "edge.folder: holds files of others, which would be deleted with the edge:"
            f" {', '.join(foreign[:3])}; choose an empty folder (got {folder})"
        )
    for other in _others(instance, set(listening(text))):
        raise EdgeError(
            f"edge.folder: the edge of the stack {instance.name} on {socket.gethostname()} is in"
            f" {other} and does not move while it serves; set edge.folder to {other.parent} again,"
            " or stop that edge first, which ends all that it serves, with `python3"
            f" {other}/keeper.pyz remove {other} {instance.name}` there (got {folder.parent})"
        )


def _foreign(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in _FIRST and path.suffix != ".part":
                yield path.name


def _others(instance: Instance, ports: set[tuple[str, str]]) -> Iterator[Path]:
    """Yield the other folders of edges that have the unit, or the ports, of this one."""
    for folder in _folders(instance, ports):
        same = folder == instance.folder or (
            folder.exists() and instance.folder.exists() and folder.samefile(instance.folder)
        )
        if not same and folder.is_dir():
            yield folder


def _folders(instance: Instance, ports: set[tuple[str, str]]) -> Iterator[Path]:
    if instance.under_systemd:
        found = systemd.folder_of(instance.unit)
        if found is not None:
            yield found
        return
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = _logged(words, instance.name)
            if folder is not None and ports & set(listening((folder / "haproxy.cfg").read_text())):
                yield folder


def _logged(words: Sequence[str], name: str) -> Path | None:
    """Return the folder of the edge whose log a process writes, if that is what it does."""
    for at, word in enumerate(words):
        found = re.fullmatch(r"(/.*)/keeper\.pyz", word)
        if found and list(words[at + 1 : at + 4]) == ["log", found[1], name]:
            return Path(found[1])
    return None
