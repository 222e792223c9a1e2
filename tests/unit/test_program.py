"""The whole program under Pulumi's mocks: what it registers for a config."""

import shlex
import subprocess
from pathlib import Path

import pytest
from pulumi.output import Unknown
from pulumi.runtime import rpc

from components.config.loading import ConfigError
from components.host import traefik
from remote.vm_firewall.firewall import Grant
from tests.support import program
from tests.support.hostile import HOST_KEY

EDGE = ("10.90.0.1",)
PORT = traefik.published_port(EDGE)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the program writes the key files of a stack below its folder


@pytest.mark.parametrize("vms", [1, 2, 7])
def test_the_addresses_that_the_vms_answer_are_in_the_pool(vms: int) -> None:
    addresses = {f"web-{index}": f"192.0.2.{100 - index}" for index in range(vms)}
    run = program.run(
        program.config(farm__vms=vms, services__hello__replicas=7), addresses=addresses
    )
    share, rest = divmod(7, vms)
    assert run.servers("hello") == [
        f"server {name} {address}:{PORT} weight {share + (index < rest)} tcp-ut 3s"
        for index, (name, address) in enumerate(addresses.items())
    ]


def test_only_the_vms_that_run_a_service_are_in_its_backend() -> None:
    run = program.run(program.config(farm__vms=3, services__hello__replicas=2))
    assert [line.split()[1] for line in run.servers("hello")] == ["web-0", "web-1"]


def test_a_preview_works_before_any_address_is_known() -> None:
    run = program.run(program.config(), preview=True)
    assert isinstance(run.resources["edge-haproxy"].inputs["stdin"], Unknown)
    assert set(run.resources) == set(program.run(program.config()).resources)


def test_an_unchanged_config_gives_the_same_registrations() -> None:
    first, second = (program.run(program.config()) for _ in range(2))
    assert {name: each.inputs for name, each in first.resources.items()} == {
        name: each.inputs for name, each in second.resources.items()
    }


def test_scaling_touches_no_container_that_stays() -> None:
    before = program.run(program.config(services__hello__replicas=3))
    after = program.run(program.config(services__hello__replicas=5))
    kind = "docker:index/container:Container"
    gained = set(after.of_type(kind)) - set(before.of_type(kind))
    assert gained == {"hello-web-0-2", "hello-web-1-1"}
    for name, container in before.of_type(kind).items():
        assert after.resources[name].inputs == container.inputs


def test_containers_go_with_their_vm_and_are_made_again_with_it() -> None:
    run = program.run(program.config())
    for name, container in run.of_type("docker:index/container:Container").items():
        vm = "web-0" if "web-0" in name else "web-1"
        domain = run.resources[f"{vm}-domain"].urn
        assert container.options.deletedWith == domain
        assert container.options.replacement_trigger.string_value == f"{vm}-domain-id"


def test_disk_cloudinit_and_domain_are_replaced_together() -> None:
    small = program.run(program.config())
    large = program.run(program.config(farm__memory="512MiB"))
    for run in (small, large):
        disk, seed, domain = (
            run.resources[f"web-0-{each}"].options.replacement_trigger
            for each in ("disk", "cloudinit", "domain")
        )
        assert disk == domain, "one trigger, so that none is replaced alone"
        known, new_disk = seed.list_value.values
        assert (known, new_disk.string_value) == (disk, "web-0-disk-id"), "the last one's is wiped"
    assert (
        small.resources["web-0-disk"].options.replacement_trigger
        != large.resources["web-0-disk"].options.replacement_trigger
    )


def test_a_vm_is_not_replaced_because_another_one_is_added() -> None:
    two = program.run(program.config(farm__vms=2))
    three = program.run(program.config(farm__vms=3))
    for name, resource in two.resources.items():
        if name.startswith("web-") and resource.type.startswith("libvirt:"):
            assert three.resources[name].inputs == resource.inputs
            assert (
                three.resources[name].options.replacement_trigger
                == resource.options.replacement_trigger
            )


def test_a_vm_lets_in_the_edge_and_this_machine() -> None:
    run = program.run(program.config())
    (firewall,) = (name for name in run.resources if name.startswith("web-0-host-firewall-"))
    allow = run.resources[firewall].inputs["create"]
    told = Grant.from_json(shlex.split(shlex.split(allow)[-1])[6])
    assert told == Grant(ssh=("10.90.0.1/32",), edges=("10.90.0.1",), edge_ports="8000-8999")
    traefik = run.resources["web-0-host-traefik"]
    assert run.resources[firewall].urn in traefik.options.dependencies, "not open before that"
    low, high = map(int, told.edge_ports.split("-"))
    assert low <= traefik.inputs["ports"][0]["external"] <= high


def test_another_edge_is_let_in_before_the_old_one_is_shut_out() -> None:
    before, after = (
        {name for name in program.run(program.config(edge=edge)).resources if "-firewall-" in name}
        for edge in ({}, {"source": "192.0.2.80"})
    )
    assert len(before) == len(after) == 2
    assert not before & after, "resources that are made first, and deleted last"


def test_the_edges_vm_lets_everybody_in_to_its_ports_and_nowhere_else() -> None:
    db = {"image": "db:1", "port": 5432, "tcp": {"port": 5432}}
    edge = {"vm": True, "tls": {"self_signed": True}, "stats": {"bind": "10.90.0.254"}}
    run = program.run(program.config(services__db=db, edge=edge))
    (firewall,) = (name for name in run.resources if name.startswith("edge-firewall-"))
    told = Grant.from_json(
        shlex.split(shlex.split(run.resources[firewall].inputs["create"])[-1])[6]
    )
    assert told == Grant(ssh=("10.90.0.1/32",), public=(80, 443, 5432, 8404))
    assert run.resources[firewall].urn in run.edge.options.dependencies


def test_the_private_keys_are_secret_everywhere() -> None:
    run = program.run(program.config())
    for name, resource in run.resources.items():
        for key, value in resource.inputs.items():
            if "private half" in str(value):
                assert rpc.is_rpc_secret(value) or rpc.is_rpc_secret(
                    value.get("privateKey") if isinstance(value, dict) else None
                ), f"{name}.{key} holds a private key in plain text"
    assert "private half" not in str(run.outputs)


def test_the_key_files_are_for_the_user_only() -> None:
    program.run(program.config())
    key = Path(".gatehouse/test/id_ed25519")
    assert "private half of farm-ssh-keygen" in key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_host_keys_are_known_before_the_first_connection() -> None:
    run = program.run(program.config())
    options = run.resources["web-1-host-docker"].inputs["sshOpts"]
    assert "StrictHostKeyChecking=yes" in options
    assert (
        Path(".gatehouse/test/web-1.known_hosts").read_text().startswith("web-1 ssh-ed25519 AAAA")
    )


def test_the_outputs_tell_where_everything_is() -> None:
    run = program.run(program.config())
    assert run.outputs["vms"] == {
        "web-0": {"address": "10.90.0.10"},
        "web-1": {"address": "10.90.0.11"},
    }
    assert run.outputs["services"] == {
        "hello": {
            "url": "http://hello.example.org/",
            "containers": {
                "web-0": ["hello-web-0-0", "hello-web-0-1"],
                "web-1": ["hello-web-1-0"],
            },
        }
    }
    assert run.outputs["edge"] == {"address": "0.0.0.0:80"}
    assert run.outputs["pools"][0]["servers"][0] == {
        "name": "web-0",
        "address": f"10.90.0.10:{PORT}",
        "weight": 2,
    }


def test_another_edge_to_trust_is_another_traefik_beside_the_old_one() -> None:
    before = program.run(program.config()).resources["web-0-host-traefik"]
    source = "192.0.2.80"
    after = program.run(program.config(edge={"source": source})).resources["web-0-host-traefik"]
    assert f"--entrypoints.web.forwardedheaders.trustedips={source}" in after.inputs["command"]
    assert f"GATEHOUSE_EDGE={source}" in after.inputs["envs"]
    assert after.inputs["ports"] != before.inputs["ports"]


def test_a_tcp_service_is_at_a_port_of_the_edge_and_another_one_replaces_no_container() -> None:
    db = {"image": "db:1", "port": 5432, "tcp": {"port": 5432}}
    run = program.run(program.config(services__db=db, edge={"bind": "192.0.2.80"}))
    assert run.outputs["services"]["db"] == {
        "url": "tcp://192.0.2.80:5432",
        "containers": {"web-0": ["db-web-0-0"]},
    }
    assert [backend["name"] for backend in run.outputs["pools"]] == ["hello", "db"]
    assert [line.split()[1] for line in run.servers("db")] == ["web-0"]
    db["tcp"] = {"port": 6432}
    moved = program.run(program.config(services__db=db, edge={"bind": "192.0.2.80"}))
    containers = "docker:index/container:Container"
    for name, container in run.of_type(containers).items():
        assert moved.resources[name].inputs == container.inputs


def test_a_tcp_service_changes_nothing_about_traefik() -> None:
    db = {"image": "db:1", "port": 5432, "tcp": {"port": 5432}}
    with_it, without = (
        program.run(program.config(**changes)) for changes in ({"services__db": db}, {})
    )
    traefik = "web-0-host-traefik"
    assert with_it.resources[traefik].inputs == without.resources[traefik].inputs


def test_a_remote_edge_is_reached_with_its_host_key_only() -> None:
    run = program.run(
        program.config(edge={"host": "198.51.100.7", "user": "ops", "host_key": HOST_KEY})
    )
    assert run.edge.name == "edge-haproxy-there"
    ssh = run.edge.inputs["environment"]["GATEHOUSE_SSH"]
    assert ssh.endswith(" -p 22 ops@198.51.100.7 sudo --non-interactive")
    assert "StrictHostKeyChecking=yes" in ssh
    (known,) = Path(".gatehouse/test").glob("edge-*.known_hosts")
    assert known.read_text() == f"edge {HOST_KEY}\n"
    assert f"UserKnownHostsFile={known} " in ssh
    assert run.outputs["edge"] == {"address": "198.51.100.7:80", "ssh": ssh}


def test_another_host_is_given_the_edge_before_the_old_one_loses_it() -> None:
    first, second = (
        program.run(program.config(edge={"host": host, "host_key": HOST_KEY})).edge
        for host in ("198.51.100.7", "198.51.100.8")
    )
    assert (first.inputs["triggers"], second.inputs["triggers"]) == (
        ["198.51.100.7"],
        ["198.51.100.8"],
    )
    assert len(list(Path(".gatehouse/test").glob("edge-*.known_hosts"))) == 2


def test_an_edge_of_its_own_is_a_vm_without_containers() -> None:
    plain = program.run(program.config())
    run = program.run(program.config(edge={"vm": {"memory": "512MiB", "vcpus": 1}}))
    assert run.resources["web-edge-domain"].inputs["memory"] == 512
    assert {name for name in run.resources if name.startswith("web-edge-host")} == {
        "web-edge-hostkey",
        "web-edge-hostkey-keygen",
    }, "no Docker, Traefik or agent there"
    assert run.outputs["vms"].keys() == plain.outputs["vms"].keys()
    assert run.outputs["edge"]["address"] == "10.90.0.254:80"
    assert run.outputs["edge"]["vm"] == "web-edge"
    assert run.outputs["edge"]["ssh"].endswith("gatehouse@10.90.0.254 sudo --non-interactive")
    assert run.edge.name == "edge-haproxy-on-vm"
    assert run.edge.options.deletedWith == run.resources["web-edge-domain"].urn
    assert run.resources["farm-room"].inputs["environment"]["GATEHOUSE_EDGE_MEMORY"] == str(2**29)
    trusting = {f"{vm}-host-traefik" for vm in ("web-0", "web-1")}
    for name, resource in plain.resources.items():
        if name not in {"edge-haproxy", "farm-room", *trusting} and "-firewall-" not in name:
            assert run.resources[name].inputs == resource.inputs, "nothing else changes"
    for name in trusting:
        command = run.resources[name].inputs["command"]
        assert "--entrypoints.web.forwardedheaders.trustedips=10.90.0.254" in command


def test_the_edges_vm_keeps_its_address_and_is_replaced_when_all_else_serves() -> None:
    run = program.run(program.config(edge={"vm": True}))
    environment = run.resources["web-edge-address"].inputs["environment"]
    card = run.resources["web-edge-domain"].inputs["networkInterfaces"][0]
    assert environment["GATEHOUSE_MAC"] == card["mac"]
    assert environment["GATEHOUSE_ADDRESS"] == "10.90.0.254"
    for part in ("disk", "cloudinit", "domain"):
        options = run.resources[f"web-edge-{part}"].options
        assert options.deleteBeforeReplace == (part == "domain"), "as late as can be"
        assert run.resources["web-edge-address"].urn in options.dependencies
        assert run.resources["hello-web-1-0-serving"].urn in options.dependencies
    assert not run.resources["web-0-domain"].options.deleteBeforeReplace


@pytest.mark.parametrize(
    ("vm", "replaced"),
    [
        ({}, False),
        ({"memory": "2GiB"}, True),
        ({"disk": "9GiB"}, True),
        ({"address": "10.90.0.9/24"}, True),
        ({"mac": "52:54:00:00:00:09"}, True),
    ],
)
def test_what_has_the_edges_vm_replaced(vm: dict[str, str], replaced: bool) -> None:
    before, after = (
        program.run(program.config(edge={"vm": given})).resources["web-edge-domain"].options
        for given in (True, vm)
    )
    assert (before.replacement_trigger != after.replacement_trigger) == replaced


def test_a_vm_on_a_bridge_is_replaced_for_another_address() -> None:
    network = {"bridge": "br0", "gateway": "192.0.2.1", "addresses": ["192.0.2.10/24"]}
    moved = {**network, "addresses": ["192.0.2.11/24"]}
    triggers = [
        program.run(program.config(farm__vms=1, farm__network=each))
        .resources["web-0-domain"]
        .options.replacement_trigger
        for each in (network, moved)
    ]
    assert triggers[0] != triggers[1], "cloud-init tells it at the first boot only"


def test_with_tls_services_are_found_by_https() -> None:
    run = program.run(program.config(edge={"tls": {"self_signed": True, "port": 8443}}))
    assert run.outputs["services"]["hello"]["url"] == "https://hello.example.org:8443/"
    assert run.outputs["edge"] == {"address": "0.0.0.0:8443"}
    run = program.run(program.config(edge={"tls": {"self_signed": True}}))
    assert run.outputs["services"]["hello"]["url"] == "https://hello.example.org/"


def test_a_wrong_config_registers_nothing() -> None:
    done: list[program.Run] = []
    with pytest.raises(ConfigError) as error:
        done.append(program.run(program.config(services__hello__replicas=0)))
    assert error.value.problems == ("services.hello.replicas: must be at least 1 (got 0)",)
    assert done == []


@pytest.mark.parametrize(
    ("network", "alone"), [({}, False), ({"macs": ["52:54:00:00:00:10"]}, True)]
)
def test_a_card_with_an_address_of_its_own_has_no_twin(
    network: dict[str, object], alone: bool
) -> None:
    """DHCP would give both VMs one address while the one replaces the other."""
    run = program.run(program.config(farm__vms=1, farm__network=network))
    assert run.resources["web-0-domain"].options.deleteBeforeReplace == alone


@pytest.mark.parametrize("name", ["web-0-host-firewall-", "edge-haproxy", "hello-web-1-0-serving"])
@pytest.mark.parametrize("printed", ["0123456789abcdef", "", "two\nlines; touch broken $(touch b)"])
def test_what_undoes_a_command_gets_what_the_command_has_printed(
    name: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = program.run(program.config())
    (undone,) = (each for key, each in run.resources.items() if key.startswith(name))
    # The last word of ssh is for a shell on the other side of the connection.
    there = 'for last; do :; done; eval "set -- $last"'
    for word, first in (("ssh", there), ("python3", ":")):
        (tmp_path / word).write_text(f'#!/bin/sh\n{first}\necho "$@" > said\n')
        (tmp_path / word).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_COMMAND_STDOUT", printed)
    subprocess.run(("sh", "-c", undone.inputs["delete"]), check=True)
    said = Path("said").read_text().rstrip()
    assert said.endswith((f"--printed {printed}".rstrip(), f"mark={printed}"))
    assert not Path("broken").exists()
