"""A part of Debian's archive: what a stock image installs at its first boot, and apt's indexes.

The release files are Debian's own, so its signatures hold and an image that is as Debian made it
takes them: nothing is signed here. Of the pool there are only the packages that apt itself finds
missing in the image. Fetched through the machine's own apt sources.
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.host.container_vm import DOCKER
from components.vm.hardening import PACKAGES
from lab.console import step
from lab.images import disk
from lab.images.cache import cached, digest, recipe_files

EDGE = ("certbot", "haproxy")  # which the edge's program installs where it is missing
FIRST_BOOT = (*DOCKER, *PACKAGES, *EDGE)
INDEXES = (
    "main/binary-amd64/Packages.xz",
    "main/i18n/Translation-en.xz",
    "main/source/Sources.xz",
)
"""What apt fetches of a suite, as Debian's images ask for sources too."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DAYS = 3
"""After which it is fetched anew: the signatures of the suites that change hold for 7 days."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One suite, as a stock image's sources name it."""

    archive: str
    """The folder of the server: `debian` or `debian-security`."""
    name: str
    uri: str
    """Where this machine gets it from."""


def suites(release: str) -> list[Suite]:
    """The suites of Debian `release`. Raises `disk.ImageError` if this machine has no source."""
    found = {each.codename: each.uri.rstrip("/") for each in disk.sources_of(release)}
    main = found[release]
    security = found.get(f"{release}-security")
    return [
        *(
            Suite(archive="debian", name=f"{release}{suffix}", uri=main)
            for suffix in ("", "-updates", "-backports")
        ),
        *(
            [Suite(archive="debian-security", name=f"{release}-security", uri=security)]
            if security is not None
            else []
        ),
    ]


def folder(release: str, status: Path, now: float | None = None) -> Path:
    """The folder with `debian` and `debian-security` for Debian `release`, fetched if need be.

    Args:
        release: The suite.
        status: dpkg's of the image, which tells what it has already.
        now: The time, in seconds since 1970, if it is not to be now.

    Raises:
        disk.ImageError: It cannot be fetched.
    """
    period = int((time.time() if now is None else now) // (DAYS * 86400))
    key = digest(
        [
            *recipe_files(Path(__file__)),
            *recipe_files(status),
            ("names", repr(FIRST_BOOT).encode()),
            ("period", str(period).encode()),
        ]
    )
    return cached(f"mirror-{release}", key, lambda made: build(made, release, status))


def build(made: Path, release: str, status: Path) -> None:
    """Fetch it into the folder `made`."""
    with step(f"fetch the packages of a first boot, {release} (about 150 MB)"):
        known = suites(release)
        fetch(
            [
                (f"{suite.uri}/dists/{suite.name}/InRelease", _dists(made, suite) / "InRelease", "")
                for suite in known
            ]
        )
        fetch(each for suite in known for each in wanted_indexes(made, suite))
        fetch(wanted_packages(made, known, resolve(made, known, status)))


def wanted_indexes(made: Path, suite: Suite) -> Iterable[tuple[str, Path, str]]:
    """Yield where each index comes from, where it goes and its hash, by the suite's own file."""
    dists = _dists(made, suite)
    hashes = sha256_of((dists / "InRelease").read_text())
    for index in INDEXES:
        # By its hash, as the mirror may be changing; apt asks for it so, too.
        by_hash = f"{index.rpartition('/')[0]}/by-hash/SHA256/{hashes[index]}"
        yield f"{suite.uri}/dists/{suite.name}/{by_hash}", dists / by_hash, hashes[index]


def sha256_of(release: str) -> dict[str, str]:
    """The SHA-256 of each file that a release file lists, by its name."""
    _, _, after = release.partition("\nSHA256:\n")
    block = re.match(r"(?: .*\n?)*", after)
    lines = block[0].splitlines() if block is not None else []
    return {name: sha256 for sha256, _, name in (line.split() for line in lines)}


def resolve(made: Path, known: Sequence[Suite], status: Path) -> str:
    """What apt says it would fetch to install `FIRST_BOOT` where dpkg's status is `status`.

    apt reads the indexes in `made` as the VM will: with Debian's signatures checked.
    """
    private = made / "apt"
    for name in ("etc/apt", "state/lists/partial", "cache/archives/partial"):
        (private / name).mkdir(parents=True)
    (private / "etc/apt/sources.list").write_text(
        "".join(
            f"deb [signed-by={KEYRING}] file:{made / suite.archive} {suite.name} main\n"
            for suite in known
        )
    )
    config = private / "apt.conf"
    config.write_text(
        f'Dir "{private}"; Dir::Etc "etc/apt"; Dir::State "state"; Dir::Cache "cache";\n'
        f'Dir::State::status "{status}"; APT::Sandbox::User "root"; APT::Architecture "amd64";\n'
        'APT::Install-Recommends "true"; Acquire::Languages "none"; Acquire::ForceHash "sha256";\n'
    )
    environment = ("env", f"APT_CONFIG={config}")
    disk.run([*environment, "apt-get", "update", "--error-on=any"], made)
    asked = [*environment, "apt-get", "install", "--yes", "--print-uris", *FIRST_BOOT]
    try:
        told = subprocess.run(asked, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise disk.ImageError(f"{' '.join(asked[2:])}: {error.stderr.strip()}") from error
    disk.run(["rm", "-r", str(private)], made)
    return told.stdout


def wanted_packages(
    made: Path, known: Sequence[Suite], told: str
) -> Iterable[tuple[str, Path, str]]:
    """Yield where each package comes from, where it goes and its hash, by apt's `--print-uris`."""
    uris = {suite.archive: suite.uri for suite in known}
    for quoted, sha256 in re.findall(r"^'file:([^']+)' \S+ \d+ SHA256:(\S+)$", told, re.MULTILINE):
        path = Path(urllib.parse.unquote(quoted))
        archive, _, rest = str(path.relative_to(made)).partition("/")
        yield f"{uris[archive]}/{urllib.parse.quote(rest)}", path, sha256


def fetch(files: Iterable[tuple[str, Path, str]]) -> None:
    """Fetch files as this machine's apt does, which also checks their hash if it is not empty."""
    words = []
    for uri, path, sha256 in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        words += [uri, str(path), f"SHA256:{sha256}" if sha256 else ""]
    disk.run(["/usr/lib/apt/apt-helper", "download-file", *words], Path("/tmp"))  # noqa: S108 - only read


def _dists(made: Path, suite: Suite) -> Path:
    return made / suite.archive / "dists" / suite.name
