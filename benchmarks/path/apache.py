"""Apache as an operator has it who wrote one vhost: Debian's settings, TLS, mod_proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.path.application import LoopbackServer
from benchmarks.path.front import HOST, Front, FrontCertificate, running
from lab.loopback.ports import free_ports

_MODULES = (
    *("mpm_event", "authz_core", "headers", "ssl", "socache_shmcb", "proxy", "proxy_http"),
    *("reqtimeout", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests"),
)


@dataclass(frozen=True, kw_only=True)
class ApacheSettings:
    """What differs between Debian's Apache and one that is made for much load."""

    servers: int
    """Processes of 25 threads at the start."""
    most_spare_threads: int
    most_requests: int
    """On a connection; 0 for any number."""


DEBIANS = ApacheSettings(servers=2, most_spare_threads=75, most_requests=100)
"""In its apache2.conf and mpm_event.conf. It ends a connection after 100 requests, and some when it
gives up threads, which the load generator counts as failures if a request was on its way."""
TUNED = ApacheSettings(servers=6, most_spare_threads=150, most_requests=0)
"""All of its threads from the beginning, and kept connections stay."""


def configuration(
    folder: Path,
    port: int,
    certificate: FrontCertificate,
    containers: Sequence[LoopbackServer],
    settings: ApacheSettings,
) -> str:
    """Return its configuration: what Debian 12 has in apache2.conf and mods-available, and a vhost.

    With several containers it balances between them by mod_proxy_balancer.
    """
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES
    )
    target, balancer = _target([f"http://{each.address}:{each.port}" for each in containers])
    return f"""\
{modules}
ServerRoot {folder}
ServerName {HOST}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
User www-data
Group www-data
Listen 127.0.0.1:{port}
Timeout 300
KeepAlive On
MaxKeepAliveRequests {settings.most_requests}
KeepAliveTimeout 5
HostnameLookups Off
StartServers {settings.servers}
MinSpareThreads 25
MaxSpareThreads {settings.most_spare_threads}
ThreadLimit 64
ThreadsPerChild 25
MaxRequestWorkers 150
MaxConnectionsPerChild 0
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
SSLSessionCache shmcb:{folder}/ssl_scache(512000)
SSLSessionCacheTimeout 300
SSLProtocol TLSv1.3
ErrorLog {folder}/error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
<Proxy *>
  Require all granted
</Proxy>
<VirtualHost *:{port}>
  ServerName {HOST}
  CustomLog {folder}/access.log combined
  SSLEngine on
  SSLCertificateFile {certificate.fullchain}
  SSLCertificateKeyFile {certificate.privkey}
{balancer}  ProxyPreserveHost On
  RequestHeader set X-Forwarded-Proto https
  ProxyPass / {target}
  ProxyPassReverse / {target}
</VirtualHost>
"""


def _target(urls: Sequence[str]) -> tuple[str, str]:
    """Return where requests go, and the lines of a balancer if there are several containers."""
    if len(urls) == 1:
        return f"{urls[0]}/", ""
    members = "\n".join(f"    BalancerMember {url}" for url in urls)
    return "balancer://app/", f"  <Proxy balancer://app>\n{members}\n  </Proxy>\n"


@contextlib.contextmanager
def apache(
    folder: Path,
    certificate: FrontCertificate,
    containers: Sequence[LoopbackServer],
    settings: ApacheSettings = DEBIANS,
) -> Iterator[Front]:
    """Run Apache before containers, in an empty folder."""
    (port,) = free_ports(1)
    config = folder / "apache2.conf"
    config.write_text(configuration(folder, port, certificate, containers, settings))
    command = ("/usr/sbin/apache2", "-f", str(config), "-D", "FOREGROUND")
    with running(command, port, folder) as pid:
        yield Front(name="Apache", port=port, tiers={"Apache": (pid,)})
