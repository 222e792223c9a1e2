"""A program of this package as one file that ``python3`` runs: the same bytes for the same program.

It has the modules and other files of the program's own folder, and the modules that programs share.
"""

import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

EDGE_AGENT, VM_AGENT, VM_FIREWALL = PROGRAMS = ("edge_agent", "vm_agent", "vm_firewall")

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
_START = """import sys
from remote import archive
archive.packed = {version!r}
from remote.{program}.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

packed: str | None = None
"""The version of the archive that this runs from. The archive's first module contains it, and sets
it before it imports the others. If the file is replaced meanwhile, the version may be older than
the code that runs, and never newer."""


def archive(program: str) -> bytes:
    """Return the archive of a program; the file itself if this code runs from one."""
    if _ROOT.is_file():
        return _ROOT.read_bytes()
    made = io.BytesIO()
    start = _START.format(version=version(program), program=program)
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in (("__main__.py", start.encode()), *_contents(program)):
            # ZipInfo's own date and rights are fixed ones.
            target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def version(program: str) -> str:
    """Return a digest of a program's files: 16 hexadecimal digits."""
    return _digest(program) if packed is None else packed


@functools.cache  # a preview needs it for each VM
def _digest(program: str) -> str:
    digest = hashlib.sha256()
    for name, data in (("__main__.py", _START.encode()), *_contents(program)):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _contents(program: str) -> Iterator[tuple[str, bytes]]:
    shared = sorted(_HERE.glob("*.py"))
    own = sorted(each for each in (_HERE / program).rglob("*") if _belongs(each))
    for path in (*shared, *own):
        yield path.relative_to(_ROOT).as_posix(), path.read_bytes()


def _belongs(path: Path) -> bool:
    """Whether it is a file of the program, rather than one that Python or an editor has left."""
    return path.is_file() and path.suffix != ".pyc" and path.name[0] != "." and path.name[-1] != "~"
