"""The application behind all fronts: an nginx with two files, fast enough not to be the limit."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.path import front
from benchmarks.path.front import FrontCertificate, running
from lab import packages
from lab.loopback.ports import free_ports

SIZES = {"1 KB": 1_000, "100 KB": 100_000}
"""Bytes of the answers, by what they are called."""
SMALL, LARGE = SIZES
MOST = 8
"""Containers."""


@dataclass(frozen=True, kw_only=True)
class LoopbackServer:
    """One backend: an address of loopback of its own."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Application:
    """The application that runs."""

    containers: tuple[LoopbackServer, ...]
    limited: tuple[LoopbackServer, ...]
    """The same ones, each of which answers `RATE` requests/s at most and lets the others wait."""
    port: int
    """On 127.0.0.1: itself with TLS, without anything before it."""
    pid: int


RATE = 1_000


def path(size: str) -> str:
    """Return where the answer of a size is."""
    return f"/{SIZES[size]}"


def configuration(folder: Path, certificate: FrontCertificate, ports: tuple[int, int, int]) -> str:
    """Return nginx.conf.

    Args:
        folder: With the answers in ``www``.
        certificate: For TLS.
        ports: Plain, plain and limited, and with TLS.
    """
    plain, limited, tls = ports
    listening = "".join(f"    listen {address(n)}:%d backlog=4096;\n" for n in range(MOST))
    files = (
        f"    root {folder}/www;\n    default_type text/plain;\n"
        "    location = /health { return 200; }\n"
    )
    return f"""\
daemon off;
user root;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  keepalive_requests 100000000;
  ssl_protocols TLSv1.3;
  ssl_certificate {certificate.fullchain};
  ssl_certificate_key {certificate.privkey};
  limit_req_zone $server_addr zone=each:1m rate={RATE}r/s;
  server {{
{listening.replace("%d", str(plain))}    listen 127.0.0.1:{tls} ssl backlog=4096;
{files}  }}
  server {{
{listening.replace("%d", str(limited))}{files}    limit_req zone=each burst=10000;
  }}
}}
"""


def address(number: int) -> str:
    """Return the address of a container, from 0 on."""
    return f"127.0.4.{number + 1}"


@contextlib.contextmanager
def application(folder: Path, certificate: FrontCertificate) -> Iterator[Application]:
    """Run the application, in an empty folder."""
    (folder / "www").mkdir()
    for size in SIZES.values():
        (folder / "www" / str(size)).write_bytes(b"x" * size)
    plain, limited, tls = free_ports(3)
    config = folder / "nginx.conf"
    config.write_text(configuration(folder, certificate, (plain, limited, tls)))
    command = ("nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config))
    with running(command, tls, folder) as pid:
        yield Application(
            containers=_containers(plain), limited=_containers(limited), port=tls, pid=pid
        )


def _containers(port: int) -> tuple[LoopbackServer, ...]:
    return tuple(
        LoopbackServer(name=f"app-{number}", address=address(number), port=port)
        for number in range(MOST)
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a front needs: the application that runs, a certificate, and room for its files."""

    folder: Path
    """Others than root get into it."""
    certificate: FrontCertificate
    app: Application


@contextlib.contextmanager
def prepared(purpose: str) -> Iterator[Prepared]:
    """Install what is needed, and run the application until the end.

    Args:
        purpose: A word for the name of the temporary folder.
    """
    packages.ensure(front.PACKAGES)
    with tempfile.TemporaryDirectory(prefix=f"gatehouse-{purpose}-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for each in ("tls", "app"):
            (folder / each).mkdir(mode=0o755)
        certificate = front.certificate(folder / "tls")
        with application(folder / "app", certificate) as app:
            yield Prepared(folder=folder, certificate=certificate, app=app)
