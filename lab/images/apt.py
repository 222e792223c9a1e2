"""Where this machine's apt gets Debian from: the disk image is made from the same mirror."""

from __future__ import annotations

import dataclasses
import subprocess
from dataclasses import dataclass

from lab import packages

OWN = "bookworm"  # the lab's machine is a Debian 12

# The options that say how the mirror is reached: proxies, certificates, dates, retries.
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
        """The repository as a line of sources.list(5)."""
        return f"deb {self.uri} {self.codename} {' '.join(self.components)}"


def sources(suite: str) -> list[Source]:
    """Debian's own repositories for `suite` and its updates, after an apt-get update if need be.

    Another release than the machine's own is expected where that is. Empty if the machine has
    none. Raises `packages.PackagesError` if the update fails.
    """
    found = debian_sources(_index_targets(), OWN)
    if not found:
        packages.apt("update")
        found = debian_sources(_index_targets(), OWN)
    return [dataclasses.replace(each, codename=each.codename.replace(OWN, suite)) for each in found]


def options() -> list[str]:
    """How this machine's apt reaches its mirror, as lines of apt.conf(5)."""
    return reach_options(_stdout(["apt-config", "dump"]))


def debian_sources(targets: str, suite: str) -> list[Source]:
    """The repositories in lines of `origin|uri|codename|component`, without the backports."""
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
    """The lines of `apt-config dump` that are about reaching the mirror and say something."""
    lines = (line for line in config.splitlines() if line.startswith(REACH))
    return [line for line in lines if not line.endswith(' "";')]


def _index_targets() -> str:
    form = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
    return _stdout(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])


def _stdout(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
