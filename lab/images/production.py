"""A disk image for production that serves seconds after its first boot: ``make image OUT=…``.

It is Debian's *genericcloud* without interactive tools, and with everything that a first boot would
otherwise fetch: Docker, Traefik's image, and the edge's programs. cloud-init works as usual.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from components import goyaml, stackfile
from components.host.traefik import IMAGE
from lab import packages, prerequisites
from lab.images import disk, mirror, stock

HUB = "docker.io"
TIMESYNCD = "systemd-timesyncd"  # replaced by chrony
DOCKER_CLI = {"bookworm": (), "trixie": ("docker-cli",)}
"""Suites in which it is a separate package; mmdebstrap installs no recommended packages."""


def recipe(suite: str, name: str, preloaded: Mapping[str, Path]) -> disk.Recipe:
    """Return the recipe of the image `name` of Debian `suite`, with `preloaded` in its Docker."""
    base = set(stock.recipe(suite, Path()).packages) - set(stock.TOOLS) - {TIMESYNCD}
    return disk.Recipe(
        name=f"ready-{suite}",
        disk=name,
        title=f"build a ready disk image, Debian {suite} (2 to 5 minutes)",
        suite=suite,
        packages=tuple(sorted(base | {*mirror.FIRST_BOOT, *DOCKER_CLI[suite]})),
        guests=("stock", "ready"),
        kernel_arguments=stock.KERNEL_ARGUMENTS,
        size=stock.SIZE,
        variant="minbase",
        preloaded=preloaded,
    )


def source(document: object) -> tuple[str, bool]:
    """Return the source of Traefik's image for skopeo, and whether to verify its TLS.

    Args:
        document: A stack file; the source is its registry mirror, or else Docker Hub.
    """
    config = document.get("config") if isinstance(document, dict) else None
    farm = stackfile.own(config).get("farm") if isinstance(config, dict) else None
    given = farm.get("registry_mirror") if isinstance(farm, dict) else None
    parts = urlsplit(given) if isinstance(given, str) else None
    host = parts.netloc if parts is not None and parts.netloc else HUB
    return f"docker://{host}/library/{IMAGE}", parts is None or parts.scheme != "http"


def build(out: Path, suite: str, image: str, *, verified: bool = True) -> None:
    """Build the image as the file `out`, which must not exist yet.

    Args:
        out: The file. A temporary folder beside it holds the parts of the build.
        suite: Debian's suite.
        image: Traefik's image, as skopeo names it.
        verified: Whether to verify the registry's TLS.

    Raises:
        disk.ImageError: It could not be built, or exists.
    """
    if out.exists():
        raise disk.ImageError(
            f"OUT={out}: exists. Gatehouse recognizes a new image by its path, not by its content:"
            " choose another name, such as one with the date"
        )
    if not out.parent.is_dir():
        raise disk.ImageError(f"OUT={out}: there is no folder {out.parent}: make it first")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        folder = Path(name)
        layout = folder / "traefik"
        tag = IMAGE.rpartition(":")[2]
        options = () if verified else ("--src-tls-verify=false",)
        target = f"oci:{layout}:{tag}"
        copy = ("skopeo", "--insecure-policy", "--override-arch", "amd64", "copy", "--quiet")
        disk.run([*copy, *options, image, target], folder)
        made = recipe(suite, out.name, {IMAGE: layout})
        disk.build(folder, made)
        shutil.move(folder / made.disk, out)


def main(arguments: list[str]) -> int:
    """Build the image; return 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser("python3 -m lab.images.production", allow_abbrev=False)
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--suite", choices=sorted(stock.SINCE), default="bookworm")
    parser.add_argument("--traefik", default="", help="Traefik's image, as skopeo names it")
    parser.add_argument("--stack-file", type=Path, help="whose registry it comes from otherwise")
    asked = parser.parse_args(arguments)
    try:
        prerequisites.check_root()
        packages.ensure()
        image, verified = (asked.traefik, True) if asked.traefik else source(_read(asked))
        build(asked.out.resolve(), asked.suite, image, verified=verified)
    except (disk.ImageError, prerequisites.MachineError, packages.PackagesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{asked.out}: use it as farm.image, with farm.install_docker false")
    return 0


def _read(asked: argparse.Namespace) -> object:
    if asked.stack_file is None:
        return None
    try:
        return goyaml.load(asked.stack_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise disk.ImageError(f"{asked.stack_file}: cannot be read: {error.strerror}") from error
    except goyaml.UNREADABLE as error:
        raise disk.ImageError(f"{asked.stack_file}: cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
