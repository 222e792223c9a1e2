"""The keys of a stack file that Pulumi gives to this program, and those that it silently drops.

By Pulumi's ``ParseKey`` and ``stackConfigNamespacedWithProject``: a key without a colon belongs
to the project, as do ``gatehouse:farm`` and the older form ``gatehouse:config:farm``.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from components.config import spelling
from components.config.checks.text import part
from components.config.models.stack import Stack

PROJECT = "gatehouse"


def own_name(key: object) -> str | None:
    """Return the program's name of a key below ``config``; None if it is another program's."""
    namespace, colon, name = str(key).partition(":")
    if not colon:
        return namespace
    return name.removeprefix("config:") if namespace == PROJECT else None


def with_prefix(key: str) -> str:
    """Return a key below ``config`` in Pulumi's normal form."""
    name = own_name(key)
    return key if name is None else f"{PROJECT}:{name}"


def own(config: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the values for this program, by the program's names for them."""
    named = ((own_name(key), value) for key, value in config.items())
    return {name: value for name, value in named if name is not None}


def pulumi_path(path: tuple[str, ...]) -> str:
    """Return a path as an argument of ``pulumi config set --path`` in a shell."""
    first, *rest = path
    steps = (
        f".{each}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", each) else f"[{json.dumps(each)}]"
        for each in rest
    )
    return shlex.quote(f"{PROJECT}:{first}{''.join(steps)}")


def misplaced(document: object) -> Iterator[str]:
    """Yield a problem for each key meant for this program that Pulumi drops.

    Args:
        document: A whole stack file.
    """
    if not isinstance(document, dict):
        return
    beside = [key for key in document if key != "config" and own_name(key) in Stack.model_fields]
    if beside:
        first = part(str(beside[0]))
        what = f"does not include {first}, which has no indent; indent the lines below it"
        if "config" not in document:
            what = f"is required; write `config:` above {first}, and indent the lines below it"
        given = "a map" if document.get("config") else "null" if "config" in document else "nothing"
        yield f"config: {what} (got {given})"
    config = document.get("config")
    for key in config if isinstance(config, dict) else ():
        namespace, _, name = str(key).partition(":")
        near = spelling.nearest(namespace.lower(), (PROJECT,))
        if own_name(key) is None and name in Stack.model_fields and near:
            yield (
                f"config.{part(str(key))}: is for a program called {part(namespace)}; did you mean"
                f" {PROJECT}:{name}? (got {part(str(key))})"
            )
