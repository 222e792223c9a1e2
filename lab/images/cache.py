"""The lab's build cache: a folder per recipe, named by the recipe's hash, complete or not there.

A build goes on in a folder beside the final one and takes its place by a rename, so that a reader
never sees half of it. One builder at a time: the others wait for its lock and then find its result.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path("/var/cache/gatehouse-lab")
KEPT = 2  # a disk image is 0.7 GB; going back and forth between checkouts builds nothing
REMOVE_TIMEOUT = 15.0  # s
POLL = 0.2  # s


def digest(parts: Iterable[tuple[str, bytes]]) -> str:
    """A name for the recipe made of these (name, content) parts: 16 hex digits of a SHA-256.

    Names and lengths are hashed too, so that content never moves unseen from one part to the next.
    """
    whole = hashlib.sha256()
    for name, content in sorted(parts):
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:16]


def recipe_files(root: Path) -> list[tuple[str, bytes]]:
    """The files below `root`, or `root` itself, as parts for `digest`: (path and mode, content)."""
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    base = root.parent
    return [
        (f"{path.relative_to(base)} {path.stat().st_mode & 0o111:o}", path.read_bytes())
        for path in files
        if path.is_file() and path.suffix != ".pyc"
    ]


def remove(folder: Path) -> None:
    """Remove `folder`, if it is there.

    The processes of a build that was killed may go on writing there for a moment.
    """
    deadline = time.monotonic() + REMOVE_TIMEOUT
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL)


def outdated(cache: Path, name: str, current: Path) -> list[Path]:
    """The folders of `name` in `cache` that may go, now that there is `current`."""
    others = [path for path in cache.glob(f"{name}-*") if path != current and path.is_dir()]
    return sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]


def cached(name: str, key: str, build: Callable[[Path], None], cache: Path | None = None) -> Path:
    """The folder `<cache>/<name>-<key>`, filled by `build(folder)` unless it is there already.

    `build` gets an empty folder on the same file system. When it raises, that folder is removed
    and nothing is cached. Of the folders with other keys the `KEPT` newest stay. A lab that runs
    from an older one is not disturbed: it has the files it uses mounted.
    """
    cache = cache or CACHE
    final = cache / f"{name}-{key}"
    if final.is_dir():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        for leftover in cache.glob(f"{name}-*.part"):
            remove(leftover)
        part = cache / f"{name}-{key}.part"
        part.mkdir()
        try:
            build(part)
            part.rename(final)
            for old in outdated(cache, name, final):
                remove(old)
        finally:
            remove(part)
    return final
