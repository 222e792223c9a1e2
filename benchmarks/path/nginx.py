"""Debian's nginx as a reverse proxy, with kept connections to the application."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.path.application import LoopbackServer
from benchmarks.path.front import HOST, Front, FrontCertificate, running
from lab.loopback.ports import free_ports


def configuration(
    folder: Path, port: int, certificate: FrontCertificate, containers: Sequence[LoopbackServer]
) -> str:
    """Return nginx.conf: Debian's settings, a pool, and a server with TLS.

    A connection may have any number of requests, as with the others.
    """
    servers = "\n".join(f"    server {each.address}:{each.port};" for each in containers)
    return f"""\
daemon off;
user www-data;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  access_log {folder}/access.log;
  gzip on;
  keepalive_requests 100000000;
  ssl_protocols TLSv1.3;
  upstream app {{
{servers}
    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name {HOST};
    ssl_certificate {certificate.fullchain};
    ssl_certificate_key {certificate.privkey};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(
    folder: Path, certificate: FrontCertificate, containers: Sequence[LoopbackServer]
) -> Iterator[Front]:
    """Run nginx before containers, in an empty folder."""
    (port,) = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(configuration(folder, port, certificate, containers))
    command = ("nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config))
    with running(command, port, folder) as pid:
        yield Front(name="nginx", port=port, tiers={"nginx": (pid,)})
