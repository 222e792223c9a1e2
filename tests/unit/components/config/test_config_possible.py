"""What a layer below refuses at `up` is refused by the config's check, by path and value."""

import shutil
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config.units import parse_duration, parse_size
from tests.support.configs import APP, BRIDGE, changed, problems
from tests.support.hostile import HOST_KEY

EDGE_HOST = {"host_key": HOST_KEY}


def bridged(**changes: Any) -> dict[str, Any]:
    return {**BRIDGE, **changes}


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        *(
            ("farm/network", {"cidr": cidr}, f"farm.network.cidr: {words}")
            for cidr, words in [
                ("0.0.0.0/0", "must have room for VMs: a prefix from /16 to /29"),
                ("10.0.0.0/8", "must have room for VMs: a prefix from /16 to /29"),
                ("10.0.0.0/15", "must have room for VMs: a prefix from /16 to /29"),
                ("127.0.0.0/16", "must be a network that machines can use"),
                ("127.5.0.0/24", "must be a network that machines can use"),
                ("224.0.0.0/24", "must be a network that machines can use"),
                ("239.1.2.0/24", "must be a network that machines can use"),
                ("169.254.0.0/16", "must be a network that machines can use"),
                ("0.0.0.0/24", "must be a network that machines can use"),
                ("255.255.255.0/24", "must be a network that machines can use"),
                ("250.0.0.0/24", "must be a network that machines can use"),
            ]
        ),
        *(
            ("farm/network", bridged(addresses=[address]), "farm.network.addresses.0: must be in a")
            for address in ("127.0.0.5/24", "224.0.0.5/24", "169.254.3.4/16", "10.0.0.2/1")
        ),
        *(
            ("farm/network", bridged(dns=[address]), "farm.network.dns.0: must be a machine's addr")
            for address in (
                "0.0.0.0",  # noqa: S104
                "224.0.0.251",
                "255.255.255.255",
                "::",
                "ff02::fb",
                "240.0.0.1",
            )
        ),
        *(
            (
                "farm/ssh_from",
                [network],
                "farm.ssh_from.0: must be a network that machines can use",
            )
            for network in ("127.0.0.0/8", "224.0.0.0/4", "0.0.0.0/32", "255.255.255.255/32")
        ),
        *(
            ("edge/bind", address, "edge.bind: must be an address to listen on")
            for address in (
                *("224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "0.0.0.1"),
                *("ff02::1", "fe80::1", "::ffff:224.0.0.1", "::ffff:192.0.2.80", "::ffff:7f00:1"),
            )
        ),
        ("edge/stats", {"bind": "ff02::1"}, "edge.stats.bind: must be an address to listen on"),
        ("edge/source", "127.0.0.1", "edge.source: must be the address of another machine"),
        ("edge/source", "0.0.0.0", "edge.source: must be the address of another machine"),  # noqa: S104
        ("edge", {**EDGE_HOST, "host": "224.0.0.1"}, "edge.host: must be a machine's address"),
        ("edge", {**EDGE_HOST, "host": "fe80::1"}, "edge.host: must not be in fe80::/10, which"),
        *(
            (f"{APP}/http/allow", [network], "services.app.http.allow.0: must be a network that")
            for network in ("224.0.0.0/4", "ff00::/8", "0.0.0.0/32", "255.255.255.255")
        ),
        *(
            (f"{APP}/image", image, f"services.app.image: {words}")
            for image, words in [
                ("r.example.org:99999/app:1", "must have a registry port from 1 to 65535"),
                ("r.example.org:0/app", "must have a registry port from 1 to 65535"),
                ("a" * 64, "must not be 64 hex digits, which Docker takes for an image's ID"),
                ("0123456789abcdef" * 4, "must not be 64 hex digits"),
                ("x" * 20_000, "must have at most 1000 characters"),
                (f"r.example.org/{'x/' * 130}x:1", "must have at most 255 characters"),
                ("app..x", "must be an image name"),
                ("app-", "must be an image name"),
                ("a___b", "must be an image name"),
                ("a/b_/c", "must be an image name"),
                ("scratch", "must be an image; scratch"),
                ("scratch:1", "must be an image; scratch"),
            ]
        ),
        (f"{APP}/memory", "5MiB", "services.app.memory: must be at least 6MiB, Docker's minimum"),
        (f"{APP}/cpus", 1e-9, "services.app.cpus: must be at least 0.01"),
        (f"{APP}/cpus", 0.009, "services.app.cpus: must be at least 0.01"),
        (f"{APP}/cpus", 3, "services.app.cpus: is more than a VM has, 2"),
        (f"{APP}/user", "2147483648", "services.app.user: must have a UID and GID of at most"),
        (f"{APP}/user", "a:9999999999", "services.app.user: must have a UID and GID of at most"),
        *(
            (f"{APP}/volumes", [{"name": "x", "path": at}], "services.app.volumes.0.path: is the")
            for at in ("/proc", "/proc/x", "/sys", "/sys/fs", "/dev", "/dev/mqueue", "/etc/hosts")
        ),
        (f"{APP}/volumes", [{"name": "x", "path": "/"}], "services.app.volumes.0.path: must be an"),
        (
            f"{APP}/volumes",
            [{"name": "x", "path": "/a/b"}, {"name": "y", "path": "/a", "read_only": True}],
            "services.app.volumes.0.path: is in the read-only volume at /a, where Docker",
        ),
        (
            f"{APP}/volumes",
            [{"name": "x", "path": "/a"}, {"name": "y", "path": "/a"}],
            "services.app.volumes.1.path: is given twice",
        ),
        ("farm/memory", "128MiB", "farm.memory: must be at least 256MiB"),
        ("farm/vcpus", 256, "farm.vcpus: must be at most 255"),
        ("farm/disk", "999999TiB", "farm.disk: must be at most 1024TiB"),
        ("farm/boot_timeout", "999999h", "farm.boot_timeout: must be at most 8760h"),
        ("farm/image", "ftp://example.org/a", "farm.image: must be a path, or a URL with http"),
        ("farm/image", "https://", "farm.image: must be a path, or a URL with http"),
        *(
            ("farm/hypervisors", [{"pool": pool}], "farm.hypervisors.0.pool: must be a folder")
            for pool in ("/proc", "/sys/x", "/dev/x/a", "/run/gatehouse", "/root", "/root/vms")
        ),
        ("edge/folder", "/run/gatehouse", "edge.folder: must be a folder on a disk"),
        ("edge/vm", {"memory": "100MiB"}, "edge.vm.memory: must be at least 256MiB"),
        ("edge/vm", {"mac": "00:00:00:00:00:00"}, "edge.vm.mac: must be a network card's"),
        ("edge/vm", {"mac": "fe:54:00:00:00:01"}, "edge.vm.mac: must not begin with fe"),
        *(
            ("farm/registry_mirror", mirror, "farm.registry_mirror: must be a URL such as")
            for mirror in (
                "http://r:99999",
                "http://0.0.0.0:5",
                "http://a..b",
                "http://-",
                "http://1.2.3",
            )
        ),
        *(
            (
                "registries",
                {host: {"username": "a", "password": "b"}},
                f"registries.{host}: must be",
            )
            for host in ("a..b", "r.example.org:99999", "a-.b", "r:0")
        ),
        (
            "edge/tls",
            {"acme": {"email": "a@b.org", "directory": "https://h:99999/"}},
            "edge.tls.acme.d",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_its_path(path: str, value: Any, wrong: str) -> None:
    (problem,) = problems(changed(path, value))
    assert problem.startswith(wrong)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("farm/network", {"cidr": "10.1.0.0/16"}),
        ("farm/network", {"cidr": "100.64.0.0/29"}),
        ("farm/network", {"cidr": "223.255.255.0/24"}),
        (
            "farm/network",
            bridged(
                addresses=["192.0.2.10/24", "192.0.2.11/24", "192.0.2.12/24"],
                gateway="192.0.2.1",
                dns=["127.0.0.1", "fe80::1", "169.254.169.254"],
            ),
        ),
        ("farm/ssh_from", ["0.0.0.0/0", "128.0.0.0/1"]),
        ("edge/bind", "::"),
        ("edge/bind", "169.254.3.4"),
        ("edge/stats", {"bind": "127.0.0.9"}),
        (f"{APP}/http/allow", ["0.0.0.0/0", "::/0", "127.0.0.1", "::1", "fe80::/10"]),
        *(
            (f"{APP}/image", image)
            for image in (
                *("app", "app:99999", "localhost:5000/a__b/c-d.e:X", "a" * 63, f"{'a' * 64}:1"),
                *("r.example.org:65535/a@sha256:" + "0" * 64, "ghcr.io/a/b", "my/scratch", "1"),
            )
        ),
        (f"{APP}/memory", "6MiB"),
        (f"{APP}/cpus", 0.01),
        (f"{APP}/user", "2147483647:0"),
        (
            f"{APP}/volumes",
            [
                {"name": "x", "path": "/a/b", "read_only": True},
                {"name": "y", "path": "/a"},
                {"name": "z", "path": "/processes"},
            ],
        ),
        ("farm/image", "file:///srv/debian.qcow2"),
        ("farm/hypervisors", [{"pool": "/srv/run"}]),
    ],
)
def test_what_is_odd_and_works_is_accepted(path: str, value: Any) -> None:
    assert problems(changed(path, value)) == ()


@pytest.mark.parametrize("domain", ["192.0.2.1", "localhost"])
def test_no_certificate_is_asked_of_acme_that_it_gives_nobody(domain: str) -> None:
    raw = changed(f"{APP}/hosts", [domain])
    raw["edge"] = {"tls": {"acme": {"email": "ops@example.org"}}}
    (problem,) = problems(raw)
    assert problem.startswith("edge.tls.acme: obtains certificates for public domains only; give")
    assert problem.endswith(f"(got {domain})")


@pytest.mark.skipif(shutil.which("virsh") is None, reason="no virsh")
@pytest.mark.parametrize("prefix", [8, 15, 16, 29])
def test_libvirt_takes_the_networks_that_the_config_takes(prefix: int, tmp_path: Path) -> None:
    network = IPv4Network(f"10.0.0.0/{prefix}")
    (tmp_path / "network.xml").write_text(
        f"<network><name>x</name><forward mode='nat'/><ip address='{network[1]}' prefix='{prefix}'>"
        f"<dhcp><range start='{network[2]}' end='{network[-2]}'/></dhcp></ip></network>"
    )
    command = ("virsh", "--connect", "test:///default", "net-define", tmp_path / "network.xml")
    done = subprocess.run(command, check=False, capture_output=True)
    refused = problems(changed("farm/network", {"cidr": str(network)}))
    assert (done.returncode != 0) == bool(refused)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *(
            ("512m", "512MiB"),
            ("1G", "1GiB"),
            ("512M", "512MiB"),
            ("1GB", "1GiB"),
            ("2 gb", "2GiB"),
        ),
        *(("1.5g", "1.5GiB"), ("1T", "1TiB"), ("512mib", "512MiB"), ("512Mi", "512MiB")),
        *(
            ("1073741824", "1GiB"),
            (1073741824, "1GiB"),
            ("524288k", "512MiB"),
            ("2048MB", "2048MiB"),
        ),
    ],
)
def test_a_size_of_other_tools_is_refused_with_what_to_write(given: object, meant: str) -> None:
    for path in ("farm/memory", f"{APP}/http/max_body"):
        (problem,) = problems(changed(path, given))
        assert f"did you mean {meant}? (got " in problem
        assert problems(changed(path, meant)) == ()


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789.kKmMgGtTiIbB ", max_size=12) | st.integers())
def test_whatever_size_is_suggested_is_one(text: object) -> None:
    try:
        parse_size(text)
    except ValueError as error:
        _, found, meant = str(error).partition("did you mean ")
        assert not found or all(parse_size(each) for each in meant.rstrip("?").split(" or "))


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[0-9]{0,7} ?(s|sec|min|m|h|days?|d|ms|x)?", fullmatch=True) | st.integers())
def test_whatever_duration_is_suggested_is_one(text: object) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        _, found, meant = str(error).partition("did you mean ")
        assert not found or parse_duration(meant.rstrip("?"))
        assert found or not isinstance(text, int) or not 0 < text < 10**6
