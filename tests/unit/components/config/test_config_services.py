"""The messages for services that contradict each other, and for wrong TCP services."""

import pytest

from tests.support.configs import APP, Mistake, another, assert_refused, tcp

MISTAKES: list[Mistake] = [
    # Across keys and services.
    (
        f"{APP}/hosts",
        ["a.example.org", "a.example.org"],
        "services.app.hosts.1: is given twice (got a.example.org)",
    ),
    (
        "services/shop",
        another(hosts=["a.example.org"]),
        "services.shop.hosts.0: is claimed by services.app with the same path /; change one"
        " of them (got a.example.org)",
    ),
    (
        "services/shop",
        another(hosts=["*.example.org"], path="/shop"),
        "services.shop.path: is shadowed by services.app, which takes all of / on a.example.org,"
        " and a domain wins over *.example.org (got /shop)",
    ),
    (
        f"{APP}/secret_env",
        {"PATH": "x"},
        "services.app.secret_env.PATH: is in env too; give it once (got PATH)",
    ),
    (
        f"{APP}/labels",
        {"traefik.enable": "false"},
        "services.app.labels.traefik.enable: is Gatehouse's, as are all labels below traefik."
        " and gatehouse.; choose another key (got traefik.enable)",
    ),
    (
        "services/db",
        another(replicas=2, volumes=[{"name": "data", "path": "/data"}]),
        "services.db.volumes.0: 2 replicas would write to it; say `shared: true` if they may, or"
        " `replicas: 1` (got /data)",
    ),
    (
        "services/db",
        another(volumes=[{"path": "/data"}]),
        "services.db.volumes.0: must have either name or host (got a map)",
    ),
    (
        "services/db",
        another(volumes=[{"name": "a", "path": "/data"}, {"name": "b", "path": "/data"}]),
        "services.db.volumes.1.path: is given twice (got /data)",
    ),
    (
        "services/db",
        another(placement={"vms": ["web-0", "web-7"]}),
        "services.db.placement.vms.1: is not a VM of this farm, which has web-0 to web-1"
        " (got web-7)",
    ),
    (
        "services/db",
        another(replicas=5, placement={"max_per_vm": 2}),
        "services.db.replicas: at most 4 can be placed, 2 on each of 2 VMs; raise"
        " placement.max_per_vm or farm.vms (got 5)",
    ),
    (f"{APP}/memory", "4GiB", "services.app.memory: is more than a VM has, 2GiB (got 4GiB)"),
    (f"{APP}/cpus", 2.5, "services.app.cpus: is more than a VM has, 2 (got 2.5)"),
    (f"{APP}/strip_path", True, "services.app.strip_path: needs a path to strip (got /)"),
    # TCP services.
    (
        f"{APP}/hosts",
        ...,
        "services.app.hosts: is required for HTTP; give tcp instead for any other protocol"
        " (got nothing)",
    ),
    (
        f"{APP}/tcp",
        {"port": 5432},
        "services.app.hosts: is for HTTP only and cannot be combined with services.app.tcp;"
        " remove one of them (got a list)",
    ),
    (
        "services/db",
        tcp(path="/a"),
        "services.db.path: is for HTTP only and cannot be combined with services.db.tcp;"
        " remove one of them (got /a)",
    ),
    (
        "services/db",
        tcp(strip_path=True),
        "services.db.strip_path: is for HTTP only and cannot be combined with"
        " services.db.tcp; remove one of them (got true)",
    ),
    (
        "services/db",
        tcp(health={"path": "/up"}),
        "services.db.health.path: is for HTTP only and cannot be combined with"
        " services.db.tcp; give health.command, or neither to check that the port takes"
        " connections (got /up)",
    ),
    ("services/db", tcp(tcp={}), "services.db.tcp.port: is required (got nothing)"),
    (
        "services/db",
        tcp(tcp=5432),
        "services.db.tcp: must be a map of keys, such as {port: 5432} (got 5432)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 0}),
        "services.db.tcp.port: must be at least 1 (got 0)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "proxy": True}),
        "services.db.tcp.proxy: unknown key; did you mean proxy_protocol? (got true)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "proxy_protocol": 2}),
        "services.db.tcp.proxy_protocol: must be true or false (got 2)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "idle_timeout": "597h"}),
        "services.db.tcp.idle_timeout: must be at most 596h (got 597h)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 8404}),
        "services.db.tcp.port: is taken by edge.stats.port; choose another port (got 8404)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 80}),
        "services.db.tcp.port: is taken by edge.port; choose another port (got 80)",
    ),
    (
        "edge/host",
        "edge.example.org",
        "edge.host_key: is required with edge.host, so that the first connection is verified"
        " already; see `ssh-keyscan edge.example.org` (got nothing)",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake[:2])[:50])
def test_a_mistake_is_reported_by_its_path(mistake: Mistake) -> None:
    assert_refused(mistake)
