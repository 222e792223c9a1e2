"""The versions of an edge's configuration: a haproxy.cfg and its files, each in its own folder.

The haproxy.cfg that HAProxy reads names the files of one version by their folder, and ends with a
stamp: the name of the version as HAProxy's ``description``. So one rename swaps all of it: whenever
HAProxy starts, it finds a text and the files that belong to it, and a worker says which version it
has read. No name is used twice.
"""

import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from remote.edge_agent import bundle, facts, older
from remote.edge_agent.facts import Facts
from remote.edge_agent.system import EdgeError, text_of

FOLDER = "versions"
"""Below the edge's folder."""
CERTIFICATES = "certs/"
"""The files that may change while the worker runs."""
CHALLENGES = "challenges.map"
"""The map of answers to ACME challenges, by their path."""
STATUS = "certificates.map"
"""The map with the state of the certificates; see ``status``."""
RUNTIME = frozenset({CHALLENGES, STATUS})
"""Maps whose entries live in the running worker, so that their files do not matter."""

_WITH_PATHS = (".list", ".lua", ".metrics")
"""Suffixes of files in which HAProxy finds the names of other files."""
_STAMP = "\nglobal\n    description gatehouse-"


@dataclass(frozen=True)
class Version:
    """One of an edge's versions."""

    edge: Path
    """The edge's folder."""
    name: str
    """Empty if an edge agent without versions applied it."""

    @property
    def folder(self) -> Path:
        """Its own folder."""
        return self.edge / FOLDER / self.name if self.name else self.edge

    @property
    def config(self) -> Path:
        """Its haproxy.cfg, in the form that HAProxy reads."""
        return self.folder / "haproxy.cfg"

    @property
    def files(self) -> Path:
        """Where its files are."""
        return self.folder / bundle.FOLDER

    def rendered(self, given: bundle.Bundle) -> bundle.Bundle:
        """Return a text and its files in the form that HAProxy reads as this version."""
        moved = _moved(given, self.edge / bundle.FOLDER, self.files)
        ending = "" if given.config.endswith("\n") else "\n"
        return replace(moved, config=f"{moved.config}{ending}{_STAMP}{self.name}\n")

    def given(self) -> bundle.Bundle:
        """Return the original text and files, with the certificates that were loaded since.

        It is empty if its files are gone.
        """
        try:
            config, files = text_of(self.config), bundle.read(self.files)
        except OSError:
            return bundle.Bundle("", {})
        unnamed = config.removesuffix(f"{_STAMP}{self.name}\n")
        return _moved(bundle.Bundle(unnamed, files), self.files, self.edge / bundle.FOLDER)

    def facts(self) -> Facts:
        """Return its facts.

        Raises:
            EdgeError: They are damaged.
        """
        files = {path.name: text_of(path) for path in self.files.glob("*.json") if path.is_file()}
        if facts.FILE in files:
            return facts.read(files)
        try:
            return older.facts(text_of(self.config) if self.config.is_file() else "", files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EdgeError(
                f"the facts in {self.files} cannot be read ({error!r}); run `pulumi up` again"
            ) from None

    def known(self) -> Facts:
        """Return its facts; none if it is damaged or gone."""
        try:
            return self.facts()
        except EdgeError:
            return Facts()


def _moved(given: bundle.Bundle, before: Path, after: Path) -> bundle.Bundle:
    """Return a text with another folder for the files that it names."""
    # Whole paths only: the edge's folder may be /a.
    path = re.compile(rf"(?<![A-Za-z0-9._/-]){re.escape(str(before))}/")
    return bundle.Bundle(
        path.sub(f"{after}/", given.config),
        {
            name: path.sub(f"{after}/", text) if name.endswith(_WITH_PATHS) else text
            for name, text in given.files.items()
        },
    )


def stamped(config: str) -> str:
    """Return the version in a haproxy.cfg's stamp; empty if it has none."""
    name = config.removesuffix("\n").rpartition(_STAMP)[2]
    return name if config.endswith(f"{_STAMP}{name}\n") and "\n" not in name else ""


def answered(told: str) -> str:
    """Return the version in a worker's answer to ``show info``; empty if it has none."""
    found = re.search(r"^description: gatehouse-([0-9a-f]+)$", told, re.MULTILINE)
    return found[1] if found else ""


def write(edge: Path, given: bundle.Bundle) -> Version:
    """Write a new version, which nothing uses yet."""
    new = Version(edge, secrets.token_hex(8))
    rendered = new.rendered(given)
    bundle.write(new.files, rendered.files)
    bundle.write_file(new.config, rendered.config)
    return new


def same(one: bundle.Bundle, other: bundle.Bundle) -> bool:
    """Return whether two versions differ only in files that may change while the worker runs."""
    return one.config == other.config and _lasting(one.files) == _lasting(other.files)


def _lasting(files: Mapping[str, str]) -> dict[str, str]:
    return {
        path: text
        for path, text in files.items()
        if not path.startswith(CERTIFICATES) and path not in RUNTIME
    }


def tidy(edge: Path, live: str, kept: set[str]) -> None:
    """Remove all versions that are not needed, and show the files of the live one as ``files``.

    Args:
        edge: The edge's folder.
        live: The version in the live haproxy.cfg; if it has none, the files that it needs stay.
        kept: Versions that are needed beside it.
    """
    if (edge / FOLDER).is_dir():
        for path in (edge / FOLDER).iterdir():
            if path.name not in kept | {live}:
                shutil.rmtree(path)
    shown = edge / bundle.FOLDER
    target = Path(FOLDER) / live / bundle.FOLDER
    if not live or "" in kept or (shown.is_symlink() and shown.readlink() == target):
        return
    if shown.is_dir() and not shown.is_symlink():
        shutil.rmtree(shown)
    part = edge / f"{bundle.FOLDER}.part"
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(shown)
