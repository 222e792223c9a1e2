"""The messages for wrong certificates and ports of the edge."""

import pytest

from tests.support.configs import Mistake, assert_refused
from tests.support.hostile import HOST_KEY

DURATIONS = "must be a duration such as 30s, 10m or 1h30m"
FILES = "must be an absolute path of letters, digits and any of . _ - between single slashes"

MISTAKES: list[Mistake] = [
    # HTTPS.
    (
        "edge/tls",
        True,
        "edge.tls: must be a map of keys, such as {folder: /etc/letsencrypt/live} (got true)",
    ),
    (
        "edge/tls",
        {},
        "edge.tls: has no source of certificates; give folder, certificates or acme, or"
        " self_signed: true (got none of them)",
    ),
    (
        "edge/tls",
        {"port": 80, "self_signed": True},
        "edge.tls.port: is taken by edge.port; choose another port (got 80)",
    ),
    ("edge/tls", {"folder": "live"}, f"edge.tls.folder: {FILES} (got live)"),
    (
        "edge/tls",
        {"self_sign": True},
        "edge.tls.self_sign: unknown key; did you mean self_signed? (got true)",
    ),
    ("edge/tls", {"hsts": True}, f"edge.tls.hsts: {DURATIONS} (got true)"),
    (
        "edge/tls",
        {"certificates": [{"fullchain": "/a/fullchain.pem"}]},
        "edge.tls.certificates.0.privkey: is required (got nothing)",
    ),
    (
        "edge/tls",
        {"certificates": [{"fullchain": "/a", "privkey": "/b"}] * 2},
        "edge.tls.certificates.1.fullchain: is given twice (got /a)",
    ),
    ("edge/tls", {"acme": {}}, "edge.tls.acme.email: is required (got nothing)"),
    (
        "edge/tls",
        {"acme": {"email": "ops"}},
        "edge.tls.acme.email: must be an e-mail address such as ops@example.org (got ops)",
    ),
    (
        "edge/tls",
        {"acme": {"email": "a@b.org", "directory": "http://acme.example.org/directory"}},
        "edge.tls.acme.directory: must be a URL such as https://acme.example.org/directory"
        " (got http://acme.example.org/directory)",
    ),
    (
        "edge/source",
        "2001:db8::1",
        "edge.source: must be an IPv4 address (got 2001:db8::1)",
    ),
    (
        "edge/source",
        "10.0.0.1,0.0.0.0/0",
        "edge.source: must be an IPv4 address (got 10.0.0.1,0.0.0.0/0)",
    ),
    ("edge/stats", {"port": 0}, "edge.stats.port: must be at least 1 (got 0)"),
    (
        "edge/stats",
        {"bind": "lo"},
        "edge.stats.bind: must be an IP address (got lo)",
    ),
    (
        "edge/stats",
        {"port": 80},
        "edge.stats.port: is taken by edge.port; choose another port (got 80)",
    ),
    (
        "edge",
        {"tls": {"self_signed": True}, "stats": {"port": 443}},
        "edge.stats.port: is taken by edge.tls.port; choose another port (got 443)",
    ),
    (
        "edge",
        {
            "vm": True,
            "host": "edge.example.org",
            "host_key": HOST_KEY,
        },
        "edge.host: cannot be combined with edge.vm; the edge is either another machine or a"
        " VM made here (got edge.example.org)",
    ),
    ("edge/vm", 1, "edge.vm: must be true, false or a map of keys (got 1)"),
    ("edge/vm", [], "edge.vm: must be true, false or a map of keys (got an empty list)"),
    (
        "edge/vm",
        {"memroy": "2GiB"},
        "edge.vm.memroy: unknown key; did you mean memory? (got 2GiB)",
    ),
    ("edge/vm", {"vcpus": 0}, "edge.vm.vcpus: must be at least 1 (got 0)"),
    (
        "edge/vm",
        {"address": "10.90.0.9"},
        "edge.vm.address: must be an address with its prefix, such as 192.0.2.10/24"
        " (got 10.90.0.9)",
    ),
    (
        "edge/vm",
        {"address": "10.91.0.9/24"},
        "edge.vm.address: is not in farm.network.cidr, 10.90.0.0/24 (got 10.91.0.9/24)",
    ),
    (
        "edge/vm",
        {"address": "10.90.0.1/24"},
        "edge.vm.address: is the hypervisor's, as the first one of farm.network.cidr; choose"
        " another one (got 10.90.0.1/24)",
    ),
    (
        "edge/vm",
        {"address": "10.90.0.255/24"},
        "edge.vm.address: is the network's own address or its broadcast address; choose one"
        " between them (got 10.90.0.255/24)",
    ),
    (
        "edge/vm",
        {"mac": "53:54:00:00:00:01"},
        "edge.vm.mac: is a multicast address; make its first byte even (got 53:54:00:00:00:01)",
    ),
    (
        "edge",
        {"vm": True, "bind": "192.0.2.80"},
        "edge.bind: is not an address of web-edge, which has 10.90.0.254; remove it"
        " (got 192.0.2.80)",
    ),
    (
        "edge",
        {"vm": True, "port": 22},
        "edge.port: is taken by the SSH server of web-edge; choose another port (got 22)",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake[:2])[:50])
def test_a_mistake_is_reported_by_its_path(mistake: Mistake) -> None:
    assert_refused(mistake)
