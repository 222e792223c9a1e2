"""Which packages are missing, and who may install them."""

import pytest

from lab import packages

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


def test_only_what_dpkg_calls_installed_counts() -> None:
    query = "haproxy installed\nskopeo config-files\nqemu-utils half-configured\n"
    wanted = ["haproxy", "qemu-utils", "skopeo", "tini"]
    assert packages.not_installed(wanted, query) == ["qemu-utils", "skopeo", "tini"]


def test_another_system_is_told_what_to_install_itself() -> None:
    ubuntu = 'PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nVERSION_ID="24.04"\n'
    with pytest.raises(packages.PackagesError, match=r"this is Ubuntu 24\.04.*: haproxy tini"):
        packages.check_machine(0, ubuntu, "/usr/bin/apt-get", ["haproxy", "tini"])


def test_a_user_is_told_to_be_root() -> None:
    with pytest.raises(packages.PackagesError, match=r"uid 1000.*run this as root"):
        packages.check_machine(1000, DEBIAN_12, "/usr/bin/apt-get", ["haproxy"])


def test_a_machine_without_apt_is_told_so() -> None:
    with pytest.raises(packages.PackagesError, match="apt-get is not on PATH"):
        packages.check_machine(0, DEBIAN_12, None, ["haproxy"])


def test_root_on_debian_12_may_install() -> None:
    packages.check_machine(0, DEBIAN_12, "/usr/bin/apt-get", ["haproxy"])
