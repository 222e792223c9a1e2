"""The edge agent's input: haproxy.cfg and the files beside it, in one text.

A preview shows it line by line, so its lines are those that HAProxy reads::

    === haproxy.cfg
    global
    ...
    === errors/shop-503.html, without a newline at its end
    <h1>Down</h1>

A line ``=== path`` begins a file. A file's own line that begins with ``===`` has one more ``=``.
All files except haproxy.cfg are stored below ``files`` in the edge's folder, and haproxy.cfg names
them there. They are checked, swapped and rolled back together with haproxy.cfg.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remote.edge_agent.system import EdgeError, text_of
from remote.files import staged, write_whole

CONFIG = "haproxy.cfg"
FOLDER = "files"
_RULE = "==="
_UNENDED = ", without a newline at its end"
_PART = "[A-Za-z0-9_][A-Za-z0-9._-]{0,249}"  # while it is written, `.part` is added to its name
_PATH = re.compile(f"{_PART}(/{_PART})*")
_SHOWN = 100
_NOTHING_CHANGED = "nothing was changed; run `pulumi up` again"


@dataclass(frozen=True)
class Bundle:
    """A haproxy.cfg and the files beside it."""

    config: str
    """The haproxy.cfg."""
    files: Mapping[str, str]
    """The other texts, by their path below ``files``."""


def pack(bundle: Bundle) -> str:
    """Return all files as one text."""
    return "".join(_packed(*each) for each in {CONFIG: bundle.config, **bundle.files}.items())


def _packed(path: str, text: str) -> str:
    unended = text != "" and not text.endswith("\n")
    lines = (text if unended else text[:-1]).split("\n") if text else []
    body = "".join(f"{'=' if line.startswith(_RULE) else ''}{line}\n" for line in lines)
    return f"{_RULE} {path}{_UNENDED if unended else ''}\n{body}"


def unpack(text: str) -> Bundle:
    """Return the files that are in a text.

    Raises:
        EdgeError: ``pack`` did not write it.
    """
    if not text.endswith("\n"):
        raise EdgeError(f"the input has no newline at its end; {_NOTHING_CHANGED}")
    files: dict[str, list[str]] = {}
    unended: set[str] = set()
    current: list[str] | None = None
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        if line.startswith(f"{_RULE}="):
            line = line[1:]
        elif line.startswith(_RULE):
            path = line.removeprefix(f"{_RULE} ").removesuffix(_UNENDED)
            if not _PATH.fullmatch(path):
                raise _refused(number, "a file's path is invalid", line)
            if path in files:
                raise _refused(number, "a file is given twice", line)
            current = files[path] = []
            unended |= {path} if line.endswith(_UNENDED) else set()
            continue
        if current is None:
            raise _refused(number, f"a file begins with `{_RULE} path`", line)
        current.append(line)
    _fit(files)
    if any(files[path][-1:] in ([], [""]) for path in unended):
        raise EdgeError(f"a file in the input has no last line; {_NOTHING_CHANGED}")
    texts = {
        path: "\n".join(lines) + ("" if path in unended or not lines else "\n")
        for path, lines in files.items()
    }
    if CONFIG not in texts:
        raise EdgeError(f"the input has no {CONFIG}; {_NOTHING_CHANGED}")
    return Bundle(texts.pop(CONFIG), texts)


def _fit(files: Mapping[str, object]) -> None:
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
    """Replace the files below a folder by these, each as a whole.

    Unchanged files are never missing meanwhile, so an HAProxy that starts just then finds them.
    Files that HAProxy reads at its start survive a power failure.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = read(folder)
    changed = {folder / name: text for name, text in files.items() if before.get(name) != text}
    for path in changed:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with staged(changed, mode=0o600):
        pass
    for name in before.keys() - files.keys():
        (folder / name).unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_file(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file that only root may read.

    Args:
        path: The file.
        text: Its content.
        durable: Whether it must outlive a power failure.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, text, mode=0o600, durable=durable)
