"""Who may into services that ask for a password: userlists, kept apart as they are secret.

They come before the haproxy.cfg that needs them, which names them by their digest, and become a
part of the live one. So a change of users alone is a change of haproxy.cfg, checked, swapped and
put back as any other, and a preview shows no more of it than another digest.
"""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from remote.edge_agent.bundle import Bundle, write_file
from remote.edge_agent.system import EdgeError, text_of

USERS = "users"
"""The fact in a text, and the folder of the userlists below the edge's."""


def digest(userlists: str) -> str:
    """Return what userlists are called. It tells nothing of them: their salts are not known."""
    return hashlib.sha256(userlists.encode()).hexdigest()[:16]


def keep(folder: Path, userlists: str) -> None:
    """Keep userlists for the haproxy.cfg that is to come."""
    (folder / USERS).mkdir(mode=0o700, exist_ok=True)
    write_file(folder / USERS / f"{digest(userlists)}.cfg", userlists)


def named(new: Bundle) -> str | None:
    """Return the name of the userlists' file, or None if there are no users.

    Raises:
        EdgeError: The name is invalid.
    """
    fact = new.files.get(f"{USERS}.json")
    if fact is None:
        return None
    if not re.fullmatch('"[0-9a-f]{16}"\n', fact):
        raise EdgeError(
            f"the input has an invalid userlists name; run `pulumi up` again (got {fact.strip()})"
        )
    return f"{json.loads(fact)}.cfg"


def included(folder: Path, new: Bundle) -> Bundle:
    """Return a haproxy.cfg with the userlists that it names.

    Raises:
        EdgeError: They are not kept here.
    """
    name = named(new)
    if name is None:
        return new
    path = folder / USERS / name
    try:
        lists, why = text_of(path), "is damaged"
    except OSError as error:
        lists, why = "", str(error.strerror)
    if f"{digest(lists)}.cfg" != name:
        raise EdgeError(
            f"the users of services are not on this machine ({path}: {why}); run"
            " `pulumi up --replace '**edge-users'`"
        )
    return replace(new, config=f"{new.config}\n{lists}")


def forget_others(folder: Path, new: Bundle) -> None:
    """Remove the userlists that a haproxy.cfg in force does not name."""
    wanted = named(new)
    for path in (folder / USERS).glob("*.cfg"):
        if path.name != wanted:
            path.unlink()
