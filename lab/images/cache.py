"""The lab's build cache: a folder per recipe, named by the recipe's hash, complete or not there.

A build goes on in a folder beside the final one and takes its place by a rename, so that a reader
never sees half of it. One builder at a time: the others wait for its lock and then find its result.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

CACHE = Path("/var/cache/gatehouse-lab")


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


def cached(name: str, key: str, build: Callable[[Path], None], cache: Path | None = None) -> Path:
    """The folder `<cache>/<name>-<key>`, filled by `build(folder)` unless it is there already.

    `build` gets an empty folder on the same file system. When it raises, that folder is removed
    and nothing is cached. Folders with another key stay: another checkout may use them.
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
            shutil.rmtree(leftover)
        part = cache / f"{name}-{key}.part"
        part.mkdir()
        try:
            build(part)
            part.rename(final)
        finally:
            if part.exists():
                shutil.rmtree(part)
    return final
