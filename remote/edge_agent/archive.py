"""The edge agent as one file that ``python3`` runs: the same bytes for the same program."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("remote",)
_SHARED = ("remote/mark.py",)
_PROGRAM = "remote/edge_agent"
_START = """import sys
from remote.edge_agent.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def archive() -> bytes:
    """Return the archive; the very file, if this is run from one."""
    if _ROOT.is_file():
        return _ROOT.read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in _contents():
            # ZipInfo's own date and rights are fixed ones.
            target.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def version() -> str:
    """Return a digest of the program, whatever packs it: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, text in _contents():
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()[:16]


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _START.encode()
    names = [f"{package}/__init__.py" for package in _PACKAGES]
    names += _SHARED
    names += [
        path.relative_to(_ROOT).as_posix() for path in sorted((_ROOT / _PROGRAM).glob("*.py"))
    ]
    for name in names:
        yield name, (_ROOT / name).read_bytes()
