"""The folders from which edges serve, by HAProxy's processes.

An edge cannot move to another folder, nor to another path of the same one: a leaving worker looks
for the next one's socket by the path that it was started with, below its own root.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.edge_agent import chroot, processes, systemd
from remote.edge_agent.facts import Listener
from remote.edge_agent.instance import Instance
from remote.edge_agent.ports import in_use


@dataclass(frozen=True)
class Serving:
    """A process of HAProxy."""

    pid: int
    folder: Path
    """Its edge's folder, by its command line."""
    root: tuple[int, int] | None
    """The identity of its edge's chroot; None if it has none."""


def serving() -> Iterator[Serving]:
    """Yield the processes of edges; only those have this socket."""
    everything = chroot.identity(Path("/"))
    for pid, words in processes.command_lines():
        for word in words:
            if found := re.fullmatch(r"(/.*)/master\.sock,mode,600", word):
                root = chroot.root(pid)
                yield Serving(pid, Path(found[1]), None if root == everything else root)


def problem(instance: Instance, each: Serving, listeners: Collection[Listener] = ()) -> str | None:
    """Return why an edge cannot have its folder because of a process, and what to do; or None.

    Args:
        instance: The edge.
        each: The process.
        listeners: Those of the haproxy.cfg to apply.
    """
    folder = instance.folder
    is_there = each.root is not None and each.root == _root_in(each.folder)
    is_here = each.root is not None and each.root == _root_in(folder)
    if each.folder == folder:
        return None if each.root is None or is_here else _moved(instance, each)
    if is_there and (is_here or _is_same(each.folder, folder)):
        return (
            f"{folder} is another path of {each.folder}, where HAProxy (pid {each.pid}) serves, and"
            f" requests would be lost; set edge.folder to {each.folder.parent} again, or stop that"
            " edge first, which ends all that it serves, with `python3"
            f" {each.folder}/keeper.pyz remove {each.folder} {instance.name}`"
        )
    if is_here or (not each.folder.exists() and _is_its(instance, each, listeners)):
        return _moved(instance, each)
    return None


def _moved(instance: Instance, each: Serving) -> str:
    start = f"{each.folder} was moved or deleted while HAProxy (pid {each.pid}) serves from it; "
    again = (
        ""
        if each.folder == instance.folder
        else f", set edge.folder to {each.folder.parent} again,"
    )
    now = _folder_now(each)
    if now is None:
        stop = f"systemctl stop {instance.unit}" if instance.under_systemd else f"kill {each.pid}"
        return f"{start}end it with `{stop}`, which ends all that it serves, and run this again"
    return f"{start}move it back with `mv {now} {each.folder}`{again} and run this again"


def _folder_now(each: Serving) -> Path | None:
    """Return where the folder of a process is now, or None if it is nowhere."""
    try:
        now = Path(f"/proc/{each.pid}/root").readlink().parent
    except OSError:
        return None
    return now if each.root is not None and each.root == _root_in(now) else None


def _is_its(instance: Instance, each: Serving, listeners: Collection[Listener]) -> bool:
    """Whether a process belongs to the edge of this name, whose folder is gone."""
    if instance.under_systemd:
        return systemd.folder_of(instance.unit) == each.folder
    logged = (each.folder, instance.name) in processes.logging()
    return logged and bool(in_use(listeners, ()))


def _root_in(folder: Path) -> tuple[int, int] | None:
    try:
        return chroot.identity(folder / chroot.FOLDER)
    except OSError:
        return None


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
