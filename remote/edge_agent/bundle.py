"""Files that the edge agent needs beside haproxy.cfg, in comment lines of the same text.

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

from remote.edge_agent.system import EdgeError, text_of

_MARK, _MORE = "#+ ", "#| "
FOLDER = "files"
_FACT = "[a-z]+"
_LONGEST_NAME = 250
"""Bytes of a file's name, to which ``.part`` is added while it is written."""
_SHOWN = 100
_NOTHING_CHANGED = "nothing was changed; run `pulumi up` again"


@dataclass(frozen=True)
class Bundle:
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
    """Return the line that gives the edge agent a value called ``name``."""
    return f"{_MARK}{json.dumps({name: value})}\n"


def take_apart(text: str) -> Bundle:
    """Return the haproxy.cfg and the files that are in a text.

    Raises:
        EdgeError: A marked line is invalid, or a file is given twice.
    """
    config: list[str] = []
    files: dict[str, str] = {}
    current = ""
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), start=1):
        if line.startswith(_MORE.rstrip()):
            if not current or not line.startswith(_MORE):
                raise _refused(number, "a line continues a file that none begins", line)
            files[current] += line.removeprefix(_MORE)
        elif line.startswith(_MARK.rstrip()):
            current, more = _marked(number, line)
            if more.keys() & files.keys():
                raise _refused(number, "a file is given twice", line)
            files |= more
        else:
            config.append(line)
    _fit(files)
    return Bundle("".join(config), files)


def _marked(number: int, line: str) -> tuple[str, dict[str, str]]:
    """Return the file that the next lines continue, if any, and the files in a line."""
    try:
        part = json.loads(line.removeprefix(_MARK))
    except (ValueError, RecursionError):
        part = None
    if not isinstance(part, dict) or not part:
        raise _refused(number, "a marked line is not a JSON object", line)
    if "file" not in part:
        facts = {f"{name}.json": f"{json.dumps(value)}\n" for name, value in part.items()}
        if not all(re.fullmatch(_FACT, name) for name in part):
            raise _refused(number, "a fact has an invalid name", line)
        return "", facts
    name, content = part["file"], part.get("text")
    if not isinstance(name, str) or not isinstance(content, str) or len(part) > 2:
        raise _refused(number, "a file must have a path and a text", line)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refused(number, f"a file's path must be below {FOLDER}", line)
    if not name.isprintable() or str(path) != name or max(map(len, path.parts)) > _LONGEST_NAME:
        raise _refused(number, "a file's path is invalid", line)
    if re.search("[\ud800-\udfff]", content):
        raise _refused(number, "a file's text has a lone surrogate", line)
    return name, {name: content}


def _fit(files: Mapping[str, str]) -> None:
    for name in files:
        above = [str(each) for each in PurePosixPath(name).parents if str(each) in files]
        if above:
            raise EdgeError(
                f"{above[0]} in the input is both a file and a folder; {_NOTHING_CHANGED}"
            )


def _refused(number: int, why: str, line: str) -> EdgeError:
    shown = line.strip() if len(line) < _SHOWN else f"{line[:_SHOWN]}…"
    return EdgeError(f"line {number} of the input: {why}; {_NOTHING_CHANGED} (got {shown!r})")


def read(folder: Path) -> dict[str, str]:
    """Return the texts below a folder by their path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): text_of(path) for path in paths}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make the files below a folder be these and no others, each replaced at once.

    Unchanged files are never missing meanwhile, so an HAProxy that starts just then finds them.
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
