"""What an audit of the lab finds: who gets in where, and what containers may do.

In the lab of the scenarios before, whose VMs have been off and on again; or in one of its own.
"""

import json
import re
from collections.abc import Iterator

import pytest

from components.host import traefik
from lab import acme_server
from lab.layout import REGISTRY
from tests.support.driver import Driver
from tests.support.third_host import Scanner, here, third_host

UDP = "53,67,68,111,123,137,161,323,500,5353,5355"


@pytest.fixture(scope="module", autouse=True)
def before(driver: Driver) -> None:
    driver.brought_up()


@pytest.fixture(scope="module")
def stranger(driver: Driver) -> Iterator[Scanner]:
    with third_host(driver) as scanner:
        yield scanner


@pytest.fixture(scope="module")
def vms(driver: Driver) -> dict[str, str]:
    return {name: output["address"] for name, output in driver.outputs()["vms"].items()}


def published(driver: Driver) -> int:
    """Return the port of the VMs' Traefiks."""
    servers = [each for pool in driver.outputs()["pools"] for each in pool["servers"]]
    (port,) = {int(each["address"].rpartition(":")[2]) for each in servers}
    return port


def test_nobody_but_the_edge_and_this_machine_finds_a_port_of_a_vm(
    driver: Driver, stranger: Scanner, vms: dict[str, str]
) -> None:
    for name, address in vms.items():
        assert stranger.tcp(address) == {}, name
        assert stranger.udp(address, UDP) == {}, name
        link_local = driver.on_vm(name, "ip -6 -brief address show scope link eth0").split()[2]
        over_ipv6 = f"{link_local.partition('/')[0]}%third1"
        assert stranger.tcp(over_ipv6, f"22,5355,{traefik.PUBLISHED_PORTS}") == {}, name


def test_this_machine_finds_ssh_and_traefik_and_nothing_else(
    driver: Driver, vms: dict[str, str]
) -> None:
    address = vms["web-0"]
    found = here(driver).tcp(address)
    assert found["open"] == {22, published(driver)}, "so a scan does find what there is"
    first, last = map(int, traefik.PUBLISHED_PORTS.split("-"))
    assert all(first <= port <= last for port in found.get("closed", set()))


def test_the_edge_has_its_own_ports_open_and_nothing_else(
    driver: Driver, stranger: Scanner
) -> None:
    address = driver.outputs()["edge"]["address"].rpartition(":")[0]
    of_the_lab = {int(REGISTRY.rpartition(":")[2]), *acme_server.PORTS}
    assert stranger.tcp(address)["open"] - of_the_lab == {80, 443}


def test_containers_reach_neither_ssh_nor_another_vms_traefik(
    driver: Driver, vms: dict[str, str]
) -> None:
    """From a container's own network, as whoever has broken into one would."""
    pid = driver.on_vm(
        "web-0",
        "docker inspect --format '{{.State.Pid}}' $(docker ps -qf label=gatehouse.slot|head -1)",
    ).strip()
    gateway = driver.on_vm("web-0", f"sudo nsenter -t {pid} -n ip route show default").split()[2]
    places = {
        "its own VM's SSH": f"{gateway}/22",
        "another VM's SSH": f"{vms['web-1']}/22",
        "another VM's Traefik": f"{vms['web-1']}/{published(driver)}",
    }
    for name, place in places.items():
        output = driver.on_vm(
            "web-0",
            f"sudo nsenter -t {pid} -n timeout 3 bash -c '</dev/tcp/{place}' 2>&1; echo code $?",
        )
        assert output.strip().endswith("code 124"), f"{name}: {output}"


def test_traefiks_api_answers_the_agent_only(driver: Driver) -> None:
    script = (
        "id=$(docker ps -qf label=gatehouse.traefik); "
        "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $id"
    )
    address = driver.on_vm("web-0", script).strip()
    ask = (
        "import sys, urllib.request as r\n"
        "try: print(r.urlopen(sys.argv[1]).status)\n"
        "except r.HTTPError as error: print(error.code)\n"
    )
    api = f"http://{address}:{traefik.API_PORT}/api/rawdata"
    assert driver.on_vm("web-0", f"python3 -c '{ask}' {api}").strip() == "401"
    dashboard = f"http://{address}:{traefik.API_PORT}/dashboard/"
    assert driver.on_vm("web-0", f"python3 -c '{ask}' {dashboard}").strip() == "404"


def test_traefiks_docker_socket_is_for_reading(driver: Driver) -> None:
    mounts = "docker inspect --format '{{json .Mounts}}' $(docker ps -qf label=gatehouse.traefik)"
    (mount,) = json.loads(driver.on_vm("web-0", mounts))
    assert (mount["Source"], mount["RW"]) == ("/var/lib/gatehouse/traefik", False)
    through = f"docker -H unix://{mount['Source']}/docker.sock"
    listed = driver.on_vm("web-0", f"{through} ps --quiet --no-trunc").split()
    assert listed, "it may list containers"
    image = "$(docker images -q hello | head -1)"
    output = driver.on_vm("web-0", f"{through} create {image} 2>&1 || true")
    assert "not for Traefik: it may read only" in output
    for what in (f"exec {listed[0]} /caddy", f"kill {listed[0]}", f"rm -f {listed[0]}", "image ls"):
        output = driver.on_vm("web-0", f"{through} {what} 2>&1 || true")
        assert "not for Traefik" in output, what


def test_docker_is_not_on_tcp(driver: Driver, vms: dict[str, str]) -> None:
    for name in vms:
        assert "-H fd://" in driver.on_vm(name, "systemctl show docker -p ExecStart")
        listening = driver.on_vm(name, "sudo ss -Hlntp")
        assert "dockerd" not in listening
        assert "containerd" not in re.sub(r"127\.0\.0\.1:\S+.*", "", listening)


def test_containers_have_no_rights_beyond_what_is_listed(
    driver: Driver, vms: dict[str, str]
) -> None:
    for name in vms:
        listed = json.loads(driver.on_vm(name, "docker inspect $(docker ps -q)"))
        assert listed
        for each in listed:
            host = each["HostConfig"]
            assert host["CapDrop"] == ["ALL"], each["Name"]
            assert not host["CapAdd"], each["Name"]
            assert not host["Privileged"], each["Name"]
            assert host["SecurityOpt"] == ["no-new-privileges:true"], each["Name"]
            assert host["PidsLimit"] == 1024, each["Name"]
            assert 0 < host["Memory"] < 1152 * 2**20, each["Name"]
            status = driver.on_vm(name, f"cat /proc/{each['State']['Pid']}/status")
            rights = dict(re.findall(r"^(\w+):\t(.*)$", status, re.MULTILINE))
            assert int(rights["CapEff"], 16) == int(rights["CapBnd"], 16) == 0, each["Name"]
            assert (rights["NoNewPrivs"], rights["Seccomp"]) == ("1", "2"), each["Name"]
            if "gatehouse.traefik" in each["Config"]["Labels"]:
                assert rights["Uid"].split()[0] == traefik.USER.partition(":")[0]
                assert host["ReadonlyRootfs"]


def test_nobody_logs_in_but_with_the_key(driver: Driver, vms: dict[str, str]) -> None:
    for name in vms:
        sshd = driver.on_vm(name, "sudo sshd -T").splitlines()
        assert {
            *("permitrootlogin no", "passwordauthentication no", "allowusers gatehouse"),
            *("kbdinteractiveauthentication no", "maxstartups 100:30:200"),
        } <= set(sshd)
        shadow = driver.on_vm(name, "sudo cut -d: -f2 /etc/shadow").split()
        assert all(each.startswith(("!", "*")) for each in shadow), "no password is any"
        keys = driver.on_vm(name, "sudo find / -xdev -name authorized_keys -size +0").split()
        assert keys == ["/home/gatehouse/.ssh/authorized_keys"]


def test_a_vm_keeps_itself_in_order(driver: Driver, vms: dict[str, str]) -> None:
    for name in vms:
        units = "chrony gatehouse-firewall unattended-upgrades"
        assert driver.on_vm(name, f"systemctl is-active {units}").split() == ["active"] * 3
        apt = driver.on_vm(name, "apt-config dump")
        assert 'APT::Periodic::Unattended-Upgrade "1";' in apt
        assert "label=Debian-Security" in apt
        output = driver.on_vm(name, "journalctl --quiet --boot --unit ssh")
        assert "Server listening" in output
        assert "Stopping" not in output, "nothing restarts it under the first commands"
        journald = driver.on_vm(name, "systemd-analyze cat-config systemd/journald.conf")
        assert "SystemMaxUse=200M" in journald


def test_what_the_first_boot_was_told_is_gone(driver: Driver, vms: dict[str, str]) -> None:
    for name in vms:
        left = driver.on_vm(name, "sudo dd if=/dev/vdb status=none | tr -d '\\0' | wc -c").strip()
        assert left == "0", "the disk that had the host's private key"
        driver.on_vm(name, "test -e /etc/cloud/cloud-init.disabled")
        key = driver.on_vm(name, "sudo sed -n 3p /etc/ssh/ssh_host_ed25519_key").strip()
        output = driver.on_vm(name, f"sudo grep -rlF {key} /var/lib/cloud /run/cloud-init || true")
        assert output == "", "nor in what cloud-init keeps"
