"""The lab's own ACME server, for ``make up ACME=1``: Pebble, and a name server for it.

The name server resolves every domain to the lab's edge address. Neither stores anything outside of
the lab.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from lab.console import step
from lab.datacentre import ADDRESS, Datacentre
from lab.namespaces import wait_until

PACKAGES = ("certbot", "pebble")
"""Installed on the machine, because no mirror can be reached from inside a lab."""

_API, _MANAGEMENT, _DNS, _DNS_MANAGEMENT = 14000, 15000, 8053, 8055
PORTS = (_API, _MANAGEMENT, _DNS, _DNS_MANAGEMENT)
"""The server's address inside the lab."""
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PEBBLE_VA_NOSLEEP": "1"}
_READY_SECONDS = 30.0
_VALID = 90 * 86400  # s, as Let's Encrypt's


class AcmeError(Exception):
    """The ACME server could not be started; the text says why."""


def ensure(datacentre: Datacentre) -> Mapping[str, str]:
    """Start the server unless it runs, and return the value for ``edge.tls.acme``.

    Raises:
        AcmeError: It does not start.
    """
    folder = datacentre.root / "acme"
    if not _answers(datacentre, _API):
        with step("start an ACME server in the lab"):
            _start(datacentre, folder)
    return {
        "email": "ops@lab.example",
        "directory": f"https://{ADDRESS}:{_API}/dir",
        "ca": str(folder / "own.pem"),
    }


def _start(datacentre: Datacentre, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    made = datacentre.enter(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "3650", "-subj", "/CN=ACME server of a lab"),
            *("-addext", f"subjectAltName=IP:{ADDRESS}"),
            *("-keyout", f"{folder}/own.key", "-out", f"{folder}/own.pem"),
        ],
        capture=True,
    )
    if made.returncode != 0:
        raise AcmeError(f"openssl req: {made.stderr.strip()}")
    config = {
        "listenAddress": f"{ADDRESS}:{_API}",
        "managementListenAddress": f"{ADDRESS}:{_MANAGEMENT}",
        "certificate": f"{folder}/own.pem",
        "privateKey": f"{folder}/own.key",
        "httpPort": 80,
        "tlsPort": 443,
        "certificateValidityPeriod": _VALID,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    log = folder / "log"
    datacentre.daemon(
        [
            *("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", ""),
            *("-dns01", f"{ADDRESS}:{_DNS}", "-defaultIPv4", ADDRESS, "-defaultIPv6", ""),
            *("-management", f"{ADDRESS}:{_DNS_MANAGEMENT}"),
        ],
        log,
    )
    datacentre.daemon(
        ["pebble", "-config", f"{folder}/pebble.json", "-dnsserver", f"{ADDRESS}:{_DNS}"],
        log,
        _ENVIRONMENT,
    )
    for port in (_DNS_MANAGEMENT, _API):
        if not wait_until(partial(_answers, datacentre, port), _READY_SECONDS):
            tail = "\n".join(log.read_text().splitlines()[-10:])
            raise AcmeError(f"the lab's ACME server does not answer; the end of its log:\n{tail}")


def _answers(datacentre: Datacentre, port: int) -> bool:
    connect = f"exec 3<>/dev/tcp/{ADDRESS}/{port}"
    return datacentre.enter(["bash", "-c", connect], cwd=Path("/"), capture=True).returncode == 0
