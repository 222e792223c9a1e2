"""Apache as an operator has it who wrote one vhost: Debian's settings, TLS, mod_proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.path.application import Container
from benchmarks.path.front import HOST, Certificate, Front, running
from lab.loopback.ports import free_ports

_MODULES = (
    *("mpm_event", "authz_core", "headers", "ssl", "socache_shmcb", "proxy", "proxy_http"),
    *("reqtimeout", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests"),
)


def configuration(
    folder: Path, port: int, certificate: Certificate, containers: Sequence[Container]
) -> str:
    """Return its configuration: what Debian 12 has in apache2.conf and mods-available, and a vhost.

    But it has all of its 150 threads from the beginning and keeps them, and a connection may have
    any number of requests: Debian's 50 threads and 100 requests make it close connections under the
    load generator. With several containers it balances between them by mod_proxy_balancer.
    """
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES
    )
    urls = [f"http://{each.address}:{each.port}" for each in containers]
    target, balancer = f"{urls[0]}/", ""
    if len(urls) > 1:
        members = "\n".join(f"    BalancerMember {url}" for url in urls)
        target = "balancer://app/"
        balancer = f"  <Proxy balancer://app>\n{members}\n  </Proxy>\n"
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
MaxKeepAliveRequests 0
KeepAliveTimeout 5
HostnameLookups Off
StartServers 6
MinSpareThreads 25
MaxSpareThreads 150
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


@contextlib.contextmanager
def apache(
    folder: Path, certificate: Certificate, containers: Sequence[Container]
) -> Iterator[Front]:
    """Run Apache before containers, in an empty folder."""
    (port,) = free_ports(1)
    config = folder / "apache2.conf"
    config.write_text(configuration(folder, port, certificate, containers))
    command = ("/usr/sbin/apache2", "-f", str(config), "-D", "FOREGROUND")
    with running(command, port, folder) as pid:
        yield Front(name="Apache", port=port, tiers={"Apache": (pid,)})
