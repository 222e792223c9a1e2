"""The userlists of services with passwords, kept apart from haproxy.cfg because they are secret.

They are sent before the haproxy.cfg that needs them. Its facts name them by their digest, and the
live file includes them. So a change of users is a change of haproxy.cfg: it is checked, swapped and
rolled back like any other, and a preview shows only a new digest.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from remote.edge_agent.bundle import Bundle, write_file
from remote.edge_agent.system import EdgeError, text_of

USERS = "users"
"""The folder of the userlists, below the edge's."""


def digest(userlists: str) -> str:
    """Return the name of userlists: their digest, which reveals nothing, because of their salts."""
    return hashlib.sha256(userlists.encode()).hexdigest()[:16]


def keep(folder: Path, userlists: str) -> None:
    """Store userlists for the next haproxy.cfg."""
    (folder / USERS).mkdir(mode=0o700, exist_ok=True)
    write_file(_file(folder, digest(userlists)), userlists)


def included(folder: Path, new: Bundle, named: str | None) -> Bundle:
    """Return a haproxy.cfg with the userlists of a digest; unchanged without a digest.

    Raises:
        EdgeError: They are not on this host.
    """
    if named is None:
        return new
    path = _file(folder, named)
    try:
        lists, why = text_of(path), "is damaged"
    except OSError as error:
        lists, why = "", str(error.strerror)
    if digest(lists) != named:
        raise EdgeError(
            f"the users of services are not on this machine ({path}: {why}); run"
            " `pulumi up --replace '**edge-users'`"
        )
    return replace(new, config=f"{new.config}\n{lists}")


def forget_others(folder: Path, named: str | None) -> None:
    """Remove the userlists whose digest is not that of the haproxy.cfg in force."""
    wanted = None if named is None else _file(folder, named)
    for path in (folder / USERS).glob("*.cfg"):
        if path != wanted:
            path.unlink()


def _file(folder: Path, named: str) -> Path:
    return folder / USERS / f"{named}.cfg"
