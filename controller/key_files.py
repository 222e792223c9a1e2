"""The files from which ``ssh`` reads the keys of a stack.

They copy the keys in the state to ``.gatehouse/<stack>`` below the program's folder, at each run:
Docker's provider starts ``ssh``, which reads keys from files only.
"""

import os
from pathlib import Path


def key_folder(stack: str) -> Path:
    """Return the folder for a stack's key files, relative to the program's folder.

    Relative, because the path is kept in the state, and the state moves between machines.
    """
    return Path(".gatehouse") / stack


def write_private(path: Path, content: bytes) -> str:
    """Put ``content`` into ``path``, in a folder of ``.gatehouse``, and return the path.

    Only this user may read the file and the folder, even if another user created the folder.
    """
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # what a run that was killed has left, or somebody else
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.replace(path)
    return str(path)
