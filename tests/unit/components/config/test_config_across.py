"""Keys that contradict each other, and defaults."""

import subprocess
from typing import Any

import pytest

from components.config.loading import ConfigError, parse
from tests.support.configs import BASE, BRIDGE, HTTP, another, changed, tcp
from tests.support.hostile import HOST_KEY


def test_more_vms_than_the_network_has_addresses() -> None:
    raw = changed("farm/network", {"cidr": "10.0.0.0/29"})
    raw["farm"]["vms"] = 6
    with pytest.raises(ConfigError, match=r"farm\.vms: must be at most 5.*10\.0\.0\.0/29"):
        parse(raw)


def test_the_edges_vm_takes_an_address_of_the_network_too() -> None:
    raw = changed("farm/network", {"cidr": "10.0.0.0/29"})
    raw["farm"]["vms"] = 5
    parse(raw)
    raw["edge"] = {"vm": True}
    with pytest.raises(ConfigError, match=r"farm\.vms: must be at most 4, .* \(got 5\)"):
        parse(raw)


@pytest.mark.parametrize(
    ("vm", "message"),
    [
        (
            True,
            "edge.vm.address: is required with a bridge, where Gatehouse runs no DHCP server"
            " (got nothing)",
        ),
        (
            {"address": "192.0.2.11/24"},
            "edge.vm.address: is farm.network.addresses.1 too (got 192.0.2.11/24)",
        ),
        (
            {"address": "192.0.2.1/24"},
            "edge.vm.address: is farm.network.gateway too; choose another address"
            " (got 192.0.2.1/24)",
        ),
        (
            {"address": "198.51.100.2/24"},
            "edge.vm.address: is not in one network with farm.network.gateway, 192.0.2.1; change"
            " one of them (got 198.51.100.2/24)",
        ),
        (
            {"address": "192.0.2.12/24", "mac": "52:54:00:00:00:01"},
            "edge.vm.mac: is farm.network.macs.0 too (got 52:54:00:00:00:01)",
        ),
        ({"address": "192.0.2.12/24"}, None),
    ],
)
def test_the_edges_vm_on_a_bridge(vm: Any, message: str | None) -> None:
    network = {**BRIDGE, "addresses": ["192.0.2.10/24", "192.0.2.11/24"]}
    raw = changed("farm/network", {**network, "macs": ["52:54:00:00:00:01", "52:54:00:00:00:02"]})
    raw["edge"] = {"vm": vm}
    if message is None:
        parse(raw)
        return
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (message,)


@pytest.mark.parametrize(("value", "given"), [(True, True), ({}, True), (False, False)])
def test_the_edges_vm_is_asked_for_by_true_or_by_its_keys(value: Any, given: bool) -> None:
    vm = parse(changed("edge/vm", value)).edge.vm
    assert (vm is not None) == given
    assert vm is None or vm.memory == 2**30


def test_names_that_make_a_host_name_too_long() -> None:
    raw = changed(f"services/{'a' * 30}", another(replicas=10))
    raw["farm"]["name"] = "b" * 30
    with pytest.raises(ConfigError, match="and Linux allows 63 characters; shorten it"):
        parse(raw)


@pytest.mark.parametrize(
    "shop",
    [
        another(hosts=["a.example.org"], path="/shop"),
        another(hosts=["*.example.org"]),
        another(hosts=["*.a.example.org"], path="/shop"),
    ],
)
def test_services_share_domains_by_paths_and_wildcards(shop: dict[str, Any]) -> None:
    assert set(parse(changed("services/shop", shop)).services) == {"app", "shop"}


def test_an_alias_is_claimed_once() -> None:
    raw = changed(f"{HTTP}/aliases", ["www.example.net"])
    raw["services"]["shop"] = another(http={"aliases": ["www.example.net"]})
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "services.app.http.aliases.0: is an alias of services.shop too (got www.example.net)",
        "services.shop.http.aliases.0: is an alias of services.app too (got www.example.net)",
    )


@pytest.mark.parametrize("algorithm", ["-5", "-6"])
def test_the_hashes_that_openssl_makes_are_taken(algorithm: str) -> None:
    made = subprocess.run(
        ("openssl", "passwd", algorithm, "a password"), check=True, capture_output=True, text=True
    ).stdout.strip()
    assert parse(changed(f"{HTTP}/basic_auth", {"alice": made})).services["app"].http.basic_auth


def test_a_remote_edge_does_not_listen_on_its_ssh_port() -> None:
    raw = changed("edge/host", "192.0.2.7")
    raw["edge"] |= {
        "host_key": HOST_KEY,
        "port": 22,
    }
    with pytest.raises(ConfigError, match=r"edge\.port: is taken by edge\.ssh_port; .* \(got 22\)"):
        parse(raw)


def test_acme_cannot_prove_a_wildcard() -> None:
    raw = changed("edge/tls", {"acme": {"email": "a@b.org"}})
    raw["services"]["app"]["hosts"] = ["a.example.org", "*.example.org"]
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "edge.tls.acme: cannot prove a wildcard over HTTP; give a certificate for it in"
        " edge.tls.certificates, or set edge.tls.self_signed: true (got *.example.org)",
    )
    raw["edge"]["tls"]["folder"] = "/etc/letsencrypt/live"
    assert parse(raw).edge.tls is not None, "there may be one in it"


def test_a_remote_edge_does_not_speak_tls_on_its_ssh_port() -> None:
    raw = changed("edge/host", "192.0.2.7")
    raw["edge"] |= {
        "host_key": HOST_KEY,
        "ssh_port": 443,
        "tls": {"self_signed": True},
    }
    with pytest.raises(
        ConfigError, match=r"edge\.tls\.port: is taken by edge\.ssh_port; .* \(got 443\)"
    ):
        parse(raw)


def test_a_tcp_service_at_a_port_of_https() -> None:
    raw = changed("edge/tls", {"self_signed": True, "acme": {"email": "a@b.org"}})
    raw["services"] |= {"db": tcp(tcp={"port": 443})}
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "services.db.tcp.port: is taken by edge.tls.port; choose another port (got 443)",
    )


def test_the_port_for_challenges_of_version_01_is_refused_with_the_reason() -> None:
    acme = {"email": "a@b.org", "port": 8402}
    with pytest.raises(ConfigError) as error:
        parse(changed("edge/tls", {"self_signed": True, "acme": acme}))
    assert error.value.problems == (
        "edge.tls.acme.port: unknown key; Gatehouse has no port: HAProxy itself answers challenges;"
        " leave it out (got 8402)",
    )


def test_https_for_nobody() -> None:
    raw = changed("edge/tls", {"self_signed": True})
    raw["services"] = {"db": tcp()}
    with pytest.raises(
        ConfigError, match=r"edge\.tls: no service has hosts that need certificates"
    ):
        parse(raw)


def test_two_tcp_services_at_one_port() -> None:
    raw = changed("services/db", tcp())
    raw["services"]["mqtt"] = tcp()
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "services.mqtt.tcp.port: is taken by services.db.tcp.port; choose another port (got 5432)",
    )


def test_a_remote_edge_does_not_serve_tcp_on_its_ssh_port() -> None:
    raw = changed("services/git", tcp(tcp={"port": 22}))
    assert parse(raw), "of this machine, the edge cannot tell"
    raw["edge"] = {
        "host": "192.0.2.7",
        "host_key": HOST_KEY,
    }
    with pytest.raises(ConfigError, match=r"services\.git\.tcp\.port: is taken by edge\.ssh_port"):
        parse(raw)


def test_defaults() -> None:
    stack = parse(BASE)
    assert stack.farm.domain_type == "kvm"
    assert stack.farm.boot_timeout == 600
    assert str(stack.farm.cidr) == "10.90.0.0/24"
    assert stack.services["app"].replicas == 1
