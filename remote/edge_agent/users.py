"""The userlists of services with passwords, kept apart from haproxy.cfg because they are secret.

They are sent before the haproxy.cfg that needs them. It names them by their digest, and the live
file includes them. So a change of users alone is a change of haproxy.cfg, which is checked, swapped
and rolled back like any other, and a preview shows only another digest.
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
    """Return the name of userlists: their digest, which reveals nothing, because of their salts."""
    return hashlib.sha256(userlists.encode()).hexdigest()[:16]


def keep(folder: Path, userlists: str) -> None:
    """Store userlists for the next haproxy.cfg."""
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
        EdgeError: They are not on this host.
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
