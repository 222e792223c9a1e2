"""What the keeper needs beside haproxy.cfg, in comment lines of the same text.

One text, so that a preview shows what changes. A line ``#+ {"file": "errors/shop-503.http", "text":
"…"}`` is a file, and lines ``#| …`` after it are more lines of it, which a preview shows each by
itself; ``#+ {"tls": {…}}`` is a file too, ``tls.json``. They are kept below ``files`` in the edge's
folder, where haproxy.cfg names them, and are as much a part of it as its own lines: checked with
it, swapped with it, and put back with it.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_MARK, _MORE = "#+ ", "#| "
FOLDER = "files"


@dataclass(frozen=True)
class Parts:
    """A text taken apart."""

    config: str
    """The haproxy.cfg."""
    files: Mapping[str, str]
    """Texts by their path below ``files``."""


def file_line(path: str, text: str) -> str:
    """Return the line for a file, at a path below ``files``."""
    return f"{_MARK}{json.dumps({'file': path, 'text': text})}\n"


def file_lines(path: str, lines: Iterable[str]) -> str:
    """Return the lines for a file that is shown line by line, at a path below ``files``."""
    return file_line(path, "") + "".join(f"{_MORE}{line}\n" for line in lines)


def fact_line(name: str, value: object) -> str:
    """Return the line for what the keeper is to know as ``name``."""
    return f"{_MARK}{json.dumps({name: value})}\n"


def take_apart(text: str) -> Parts:
    """Return the haproxy.cfg and the files that are in a text.

    Raises:
        ValueError: A line with a mark is none of these.
    """
    config: list[str] = []
    files: dict[str, str] = {}
    current = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if line.startswith(_MORE):
            if not current:
                raise ValueError(f"a line of a file comes after none (got {line.strip()})")
            files[current] += line.removeprefix(_MORE)
            continue
        if not line.startswith(_MARK):
            config.append(line)
            continue
        part = json.loads(line.removeprefix(_MARK))
        if "file" in part:
            path = PurePosixPath(part["file"])
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"a file's path must be below {FOLDER} (got {path})")
            current = str(path)
            files[current] = part["text"]
        else:
            current = ""
            files |= {f"{name}.json": f"{json.dumps(value)}\n" for name, value in part.items()}
    return Parts("".join(config), files)


def read(folder: Path) -> dict[str, str]:
    """Return the texts below a folder by their path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in paths}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make the files below a folder be these and no others, each replaced at once.

    Those that stay never miss meanwhile, so an HAProxy that starts just then finds what it names.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = read(folder)
    for name, text in files.items():
        if before.get(name) != text:
            write_file(folder / name, text)
    for name in before.keys() - files.keys():
        (folder / name).unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_file(path: Path, text: str) -> None:
    """Write a file that only root may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        target.write(text.encode())
    part.replace(path)
