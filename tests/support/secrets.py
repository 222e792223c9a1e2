"""Knows every secret of an applied stack, and looks for them where they must not be.

What is secret is asked of Pulumi, which decrypts its state, and read in the config. Of a secret
that others can tell parts of (a key pair's public half, a registry's address) only what nobody else
has is looked for. A secret that is encoded or compressed is not found, except in gzip and in JSON.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.config.loading import SECRET_KEYS
from lab.providers.values import leaves, show_path
from lab.pulumi.operations import PulumiCli

SAMPLE_SECONDS = 0.02
"""Seconds between two looks at the processes; a shorter process may be missed."""
_SHORTEST = 6
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)
_HASH = re.compile(r"\$[0-9a-z]{1,4}\$[A-Za-z0-9./$=,]+")
_MARK = "4dabf18193072939515e22adb298388d"
_IS_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's own name for what is one

Path_ = tuple[str | int, ...]
Secrets = dict[str, str]
"""The texts to look for, each with a name that begins with its origin."""


def of_stack(folder: Path, stack: str, project: Path, config_file: Path) -> Secrets:
    """Return the secrets of a stack.

    Args:
        folder: The lab's files of the stack.
        stack: Its name.
        project: The program's folder.
        config_file: Its config, as it was applied.
    """
    cli = PulumiCli(stack=stack, project=project, config_file=config_file, folder=folder)
    return in_config(config_file) | in_export(cli.export())


def in_config(path: Path) -> Secrets:
    """Return the secrets in a stack's config file."""
    config = yaml.safe_load(path.read_text())["config"]
    return {
        text: f"config {show_path(where)}"
        for where, text in leaves(config)
        if isinstance(text, str) and SECRET_KEYS & {str(step) for step in where}
    }


def in_export(exported: Mapping[str, Any]) -> Secrets:
    """Return the secrets in what ``pulumi stack export --show-secrets`` prints."""
    deployment = exported["deployment"]
    found: Secrets = {}
    operations = [each["resource"] for each in deployment.get("pending_operations") or []]
    for resource in [*(deployment.get("resources") or []), *operations]:
        name = resource["urn"].rpartition("::")[2]
        for path, leaf in _secret_leaves(resource, (), secret=False):
            place = " ".join(filter(None, (name, show_path(path))))
            found = {text: f"{place} {part}".strip() for text, part in parts(leaf).items()} | found
    return found


def _secret_leaves(value: Any, path: Path_, *, secret: bool) -> Iterator[tuple[Path_, str]]:
    """Yield each text in a value that is secret, or inside of what is, with its path."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _secret_leaves(each, (*path, index), secret=secret)
    elif isinstance(value, dict) and value.get(_MARK) == _IS_SECRET:
        yield from _secret_leaves(json.loads(value["plaintext"]), path, secret=True)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _secret_leaves(each, (*path, key), secret=secret)
    elif secret and isinstance(value, str):
        yield path, value


def parts(secret: str) -> Secrets:
    """Return what of a secret text nobody else has, with what it is of it; nothing too short.

    Of a private key each line but the first, which all keys of a kind begin with; of text with
    hashes of passwords those; of JSON what is below a secret key; of `NAME=value` the value.
    """
    keys = [block.split() for block in _PRIVATE_KEY.findall(secret)]
    if keys:
        found = {line: f"line {n}" for block in keys for n, line in enumerate(block[1:], 2)}
    elif hashes := _HASH.findall(secret):
        found = dict.fromkeys(hashes, "hash")
    else:
        found = _in_json(secret) or {_value(secret): ""}
    return {text: part for text, part in found.items() if len(text) >= _SHORTEST}


def _value(text: str) -> str:
    assigned = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=(.*)", text, re.DOTALL)
    # Or it is base64, which can end like that.
    return assigned[1] if assigned and len(assigned[1]) >= _SHORTEST else text


def _in_json(text: str) -> Secrets:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return {
        leaf: show_path(path)
        for path, leaf in leaves(value)
        if isinstance(leaf, str) and SECRET_KEYS & {str(step) for step in path}
    }


def in_text(secrets: Secrets, text: str) -> list[str]:
    """Return the names of the secrets that are in a text, as they are or as JSON has them."""
    return [
        name
        for secret, name in secrets.items()
        if secret in text or json.dumps(secret)[1:-1] in text
    ]


def in_files(secrets: Secrets, places: Iterable[Path]) -> list[str]:
    """Return which secrets are in which files, in and below the places; links are not followed."""
    found = []
    for path in files(places):
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        names = in_text(secrets, content.decode("utf-8", errors="replace"))
        found += [f"{path}: {name}" for name in names]
    return found


def files(places: Iterable[Path]) -> list[Path]:
    """Return the files in and below the places; links are not followed."""
    found = []
    for place in places:
        inside = place.rglob("*") if place.is_dir() else [place]
        # rglob() does not enter folders that are links.
        found += [path for path in inside if path.is_file() and not path.is_symlink()]
    return sorted(found)


@contextmanager
def arguments_seen() -> Iterator[set[str]]:
    """Collect the arguments of all processes of this machine, a lab's too, while the block runs."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            seen.update(_arguments())

    thread = threading.Thread(target=watch, name="arguments")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _arguments() -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield process.joinpath("cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
