"""The lab's build cache: a folder for each recipe, named by the recipe's hash.

A build happens in a folder beside the final one, and a rename completes it: no reader ever sees
half a build. There is one builder at a time; others wait for its lock and then find its result.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path("/var/cache/gatehouse-lab")
KEPT = 2  # 0.7 GB each for disk images; switching between checkouts needs no rebuild
REMOVE_TIMEOUT = 15.0  # s
POLL = 0.2  # s


def digest(parts: Iterable[tuple[str, bytes]]) -> str:
    """Return the key of a recipe with these (name, content) parts: 16 hex digits of a SHA-256.

    Names and lengths are hashed too, so that moving content between parts changes the key.
    """
    whole = hashlib.sha256()
    for name, content in sorted(parts):
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:16]


def recipe_files(root: Path) -> list[tuple[str, bytes]]:
    """Return the files below `root`, or `root` itself, as parts for `digest`, with their modes."""
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    base = root.parent
    return [
        (f"{path.relative_to(base)} {path.stat().st_mode & 0o111:o}", path.read_bytes())
        for path in files
        if path.is_file() and path.suffix != ".pyc"
    ]


def remove(folder: Path) -> None:
    """Remove `folder`, if it is there.

    Retries for a while, because processes of a killed build may still write there.
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
    """Return the folders of `name` in `cache` to remove, now that there is `current`."""
    others = [path for path in cache.glob(f"{name}-*") if path != current and path.is_dir()]
    return sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]


def cached(name: str, key: str, build: Callable[[Path], None], cache: Path | None = None) -> Path:
    """Return the folder `<cache>/<name>-<key>`, filled by `build(folder)` if it does not exist.

    `build` gets an empty folder on the same file system. If it raises, that folder is removed and
    nothing is cached. Of the folders with other keys, the `KEPT` newest stay. Removing one does not
    disturb a lab that runs from it: the lab has mounted the files that it uses.
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
