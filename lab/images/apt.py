"""The mirror of this machine's apt, from which the disk images are built."""

from __future__ import annotations

import dataclasses
import subprocess
from dataclasses import dataclass

from lab import packages

OWN = "bookworm"  # the lab's machine is a Debian 12

# The options for reaching the mirror: proxies, certificates, dates, retries.
REACH = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::ForceIP",
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One repository that apt uses on this machine."""

    uri: str
    codename: str
    components: tuple[str, ...]

    def line(self) -> str:
        """Return the repository as a line of sources.list(5)."""
        return f"deb {self.uri} {self.codename} {' '.join(self.components)}"


def sources(suite: str) -> list[Source]:
    """Return Debian's repositories for `suite` and its updates; empty if the machine has none.

    Runs apt-get update if apt has no lists yet. Another release is expected on the mirror of the
    machine's own. Raises `packages.PackagesError` if the update fails.
    """
    found = debian_sources(_index_targets(), OWN)
    if not found:
        packages.apt("update")
        found = debian_sources(_index_targets(), OWN)
    return [dataclasses.replace(each, codename=each.codename.replace(OWN, suite)) for each in found]


def options() -> list[str]:
    """Return apt's options for reaching the mirror, as lines of apt.conf(5)."""
    return reach_options(_stdout(["apt-config", "dump"]))


def debian_sources(targets: str, suite: str) -> list[Source]:
    """Return the repositories in lines of `origin|uri|codename|component`, without backports."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        origin, uri, codename, component = line.split("|")
        if origin == "Debian" and codename in (suite, f"{suite}-updates", f"{suite}-security"):
            components = found.setdefault((uri, codename), [])
            if component not in components:
                components.append(component)
    return [
        Source(uri=uri, codename=codename, components=tuple(components))
        for (uri, codename), components in found.items()
    ]


def reach_options(config: str) -> list[str]:
    """Return the lines of `apt-config dump` about reaching the mirror that have a value."""
    lines = (line for line in config.splitlines() if line.startswith(REACH))
    return [line for line in lines if not line.endswith(' "";')]


def _index_targets() -> str:
    form = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
    return _stdout(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])


def _stdout(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
