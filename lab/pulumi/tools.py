"""The programs that apply a lab's stack: the CLI, its language host, and the providers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.images.cache import CACHE
from lab.providers import VERSIONS
from lab.providers.serve import PREFIX
from lab.pulumi import language
from lab.pulumi.cli import Cli

REAL, STAND_INS = "real", "lab"
_LAUNCHER = Path(__file__).parent / "launcher.py"
_FETCH_SECONDS = 180.0


class ProvidersError(Exception):
    """The requested providers are not available; the text says which, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Providers:
    """The plugins that manage the program's resources."""

    name: str
    """`real` for Pulumi's own, `lab` for the lab's stand-ins."""
    reason: str
    """The reason for this choice."""
    folder: Path | None = None
    """The real ones' `plugins` folder; None if the CLI finds them on PATH."""

    def __str__(self) -> str:
        """Return the providers' description in the output of `make up`."""
        kind = "Pulumi's own plugins" if self.name == REAL else "the lab's stand-ins"
        return f"{kind} ({self.reason})"


def choose(requested: str, cli: Cli, cache: Path = CACHE) -> Providers:
    """Return the providers to use.

    Args:
        requested: `real`, `lab`, or `auto` for the real ones if they are available.
        cli: The CLI, which can fetch them.
        cache: The folder for fetched plugins.

    Raises:
        ProvidersError: The real ones were requested and are not available.
    """
    if requested == STAND_INS:
        return Providers(name=STAND_INS, reason="PROVIDERS=lab")
    home, fetched = pulumi_home() / "plugins", cache / "plugins"
    for folder in (home, fetched):
        if not missing(folder):
            return Providers(name=REAL, reason=f"they are in {folder}", folder=folder)
    if all(shutil.which(f"{PREFIX}{name}") for name in VERSIONS):
        return Providers(name=REAL, reason="they are on PATH")
    if _fetched(cli, fetched):
        return Providers(name=REAL, reason=f"fetched to {fetched}", folder=fetched)
    lack = f"{', '.join(missing(home))} not in {home}, and cannot be fetched"
    if requested == REAL:
        raise ProvidersError(f"PROVIDERS=real: {lack}: install them, or use PROVIDERS=lab")
    return Providers(name=STAND_INS, reason=lack)


def missing(folder: Path) -> list[str]:
    """Return the names of the providers that a folder of plugins lacks in their version."""
    return [
        f"{name} {version}"
        for name, version in VERSIONS.items()
        if not (folder / plugin(name) / f"{PREFIX}{name}").is_file()
    ]


def plugin(name: str) -> str:
    """Return the name of a provider's folder."""
    return f"resource-{name}-v{VERSIONS[name]}"


def pulumi_home() -> Path:
    """Return where the user's own CLI keeps plugins."""
    return Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))


def _fetched(cli: Cli, folder: Path) -> bool:
    for name, version in VERSIONS.items():
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                (str(cli.path), "plugin", "install", "resource", name, version),
                env={**os.environ, "PULUMI_HOME": str(folder.parent)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_FETCH_SECONDS,
                check=False,
            )
        if not (folder / plugin(name) / f"{PREFIX}{name}").is_file():
            return False
    return True


def lay_out(folder: Path, cli: Cli, providers: Providers) -> None:
    """Put the programs into a stack's folders `bin` and `home`, in place of earlier ones."""
    plugins = folder / "home" / "plugins"
    for each in (folder / "bin", folder / "home", plugins):
        each.mkdir(mode=0o700, exist_ok=True)
    _link(folder / "bin" / "pulumi", cli.path)
    host = plugins / f"language-python-v{cli.version}"
    _remove(host)
    if not has_language_host(cli):
        # As a plugin, because the CLI warns of one on PATH.
        host.mkdir()
        _launcher(host / language.NAME, "lab.pulumi.language")
    for name in VERSIONS:
        place = plugins / plugin(name)
        _remove(place)
        if providers.name == STAND_INS:
            place.mkdir()
            _launcher(place / f"{PREFIX}{name}", "lab.providers.serve")
        elif providers.folder is not None:
            place.mkdir()  # the CLI (3.260) accepts no symbolic link as a plugin's folder
            for file in (providers.folder / plugin(name)).iterdir():
                (place / file.name).symlink_to(file)


def has_language_host(cli: Cli) -> bool:
    """Return whether Pulumi's own language host for Python is on PATH, or beside the CLI."""
    beside = cli.path.resolve().parent / language.NAME
    return shutil.which(language.NAME) is not None or os.access(beside, os.X_OK)


def environment(folder: Path, theirs: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which the CLI works on the stack of a folder.

    The user's own passphrase, token and stack would take precedence over the lab's.
    """
    ours = {
        key: value
        for key, value in theirs.items()
        if key not in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK")
    }
    return {
        **ours,
        "PATH": f"{folder / 'bin'}{os.pathsep}{theirs.get('PATH', os.defpath)}",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(folder / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


def _link(place: Path, target: Path) -> None:
    partial = place.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(place)


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


def _launcher(place: Path, module: str) -> None:
    """Write a program that becomes a plugin; see `launcher`."""
    words = shlex.join((sys.executable, "-IS", str(_LAUNCHER), module, place.name))
    place.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    place.chmod(0o755)
