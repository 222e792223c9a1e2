"""Which packages are missing, and how the machine's services are kept from starting meanwhile."""

from pathlib import Path

import pytest

from lab import packages

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


def test_only_what_dpkg_calls_installed_counts() -> None:
    told = "haproxy installed\nskopeo config-files\nqemu-utils half-configured\n"
    wanted = ["haproxy", "qemu-utils", "skopeo", "tini"]
    assert packages.not_installed(wanted, told) == ["qemu-utils", "skopeo", "tini"]


def test_another_system_is_told_what_to_install_itself() -> None:
    ubuntu = 'PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nVERSION_ID="24.04"\n'
    with pytest.raises(packages.PackagesError, match=r"this is Ubuntu 24\.04.*: haproxy tini"):
        packages.check_machine(0, ubuntu, "/usr/bin/apt-get", ["haproxy", "tini"])


def test_a_user_is_told_to_be_root() -> None:
    with pytest.raises(packages.PackagesError, match=r"uid 1000.*run again as root"):
        packages.check_machine(1000, DEBIAN_12, "/usr/bin/apt-get", ["haproxy"])


def test_a_machine_without_apt_is_told_so() -> None:
    with pytest.raises(packages.PackagesError, match="apt-get is not on PATH"):
        packages.check_machine(0, DEBIAN_12, None, ["haproxy"])


def test_root_on_debian_12_may_install() -> None:
    packages.check_machine(0, DEBIAN_12, "/usr/bin/apt-get", ["haproxy"])


def test_units_are_services_sockets_and_timers_but_no_templates() -> None:
    paths = (
        "/lib/systemd/system/haproxy.service\n/usr/lib/systemd/system/a.socket\n"
        "/lib/systemd/system/b.timer\n/lib/systemd/system/c@.service\n"
        "/lib/systemd/system/d.service.d/x.conf\n/etc/default/haproxy\n"
    )
    assert packages.unit_files(paths) == ["haproxy.service", "a.socket", "b.timer"]


def test_the_machines_own_policy_is_back_after_an_error(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    policy.write_text("the machine's own")

    def fail_while_held() -> None:
        with packages.services_held_back(policy, backup):
            assert policy.read_text() == packages.POLICY_TEXT
            assert policy.stat().st_mode & 0o777 == 0o755
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_while_held()
    assert policy.read_text() == "the machine's own"
    assert not backup.exists()


def test_a_machine_without_a_policy_has_none_afterwards(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    with packages.services_held_back(policy, backup):
        assert policy.exists()
    assert not policy.exists()


def test_what_a_killed_run_left_is_mended(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    policy.write_text(packages.POLICY_TEXT)
    backup.write_text("the machine's own")
    packages.mend(policy, backup)
    assert policy.read_text() == "the machine's own"
    policy.write_text(packages.POLICY_TEXT)
    packages.mend(policy, backup)
    assert not policy.exists()


def test_a_policy_of_the_machine_is_not_taken_for_ours(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    packages.mend(policy, tmp_path / "saved")
    assert policy.exists()
