"""The files from which ``ssh`` reads the keys of a stack.

They copy the keys in the state to ``.gatehouse/<stack>`` below the program's folder, at each run:
Docker's provider starts ``ssh``, which reads keys from files only.
"""

from pathlib import Path

from remote.files import write_whole


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
    write_whole(path, content, mode=0o600, durable=False)  # a copy, the state has the original
    return str(path)
