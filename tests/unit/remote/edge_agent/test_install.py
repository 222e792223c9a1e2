"""HAProxy where it is missing or too old, with programs of our own in the place of apt's."""

import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.edge_agent import install, system
from remote.edge_agent.__main__ import main
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import Bundle, pack
from remote.edge_agent.facts import FILE, Facts, text
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script on a PATH that has no other program but a shell's few."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "env", "cp", "chmod", "cat"):
        (folder / tool).symlink_to(next(Path(each) / tool for each in ("/bin", "/usr/bin")))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setattr(system, "_ROOTS_PATH", str(tmp_path / "sbin"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("POLICY", "POLICY_BACKUP", "LOCK"):
        monkeypatch.setattr(install, name, tmp_path / name)

    def write(name: str, body: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return write


def haproxy(version: str) -> str:
    return f'echo "{version} 2023/12/16 - https://haproxy.org/"'


APT = """
echo "$*" >>"$STATE/asked"
umask >"$STATE/umask"
case "$*" in *install*)
  [ -e "$STATE/POLICY" ] || { echo "services would start"; exit 1; }
  [ -z "$LISTS" ] || [ "$(cat "$STATE/asked")" != "$*" ] || { echo "404 Not Found"; exit 100; }
  cp "$STATE/new" "$STATE/bin/haproxy"; chmod +x "$STATE/bin/haproxy" ;;
esac
"""


def test_it_is_installed_where_it_is_missing_and_no_service_of_it_starts(
    program: Program, tmp_path: Path
) -> None:
    program("apt-get", APT)
    program("dpkg", "echo /lib/systemd/system/haproxy.service")
    program("systemctl", 'echo "$*" >>"$STATE/systemctl"')
    (tmp_path / "new").write_text(f"#!/bin/sh\n{haproxy('HAProxy version 2.6.12-1+deb12u2')}\n")
    assert install.haproxy() == str(tmp_path / "bin" / "haproxy")
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.endswith("install --yes --no-install-recommends haproxy")
    assert (tmp_path / "systemctl").read_text() == "disable haproxy.service\n"
    assert not (tmp_path / "POLICY").exists()


def test_lists_that_are_too_old_are_fetched_anew(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTS", "old")
    program("apt-get", APT)
    (tmp_path / "new").write_text(f"#!/bin/sh\n{haproxy('HAProxy version 3.0.11-1')}\n")
    install.haproxy()
    asked = [line.split()[2] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == ["install", "update", "install"]


def test_the_files_of_a_package_are_not_hidden_as_the_edges_are(
    program: Program, tmp_path: Path
) -> None:
    program("apt-get", APT)
    (tmp_path / "new").write_text(f"#!/bin/sh\n{haproxy('HAProxy version 3.0.11-1')}\n")
    with Instance(str(tmp_path / "edge"), "test").locked():
        install.haproxy()
    assert (tmp_path / "umask").read_text() == "0022\n"
    assert (tmp_path / "edge" / "lock").stat().st_mode & 0o777 == 0o600


def test_what_apt_says_is_told(program: Program) -> None:
    program("apt-get", 'echo "E: Unable to locate package haproxy"; exit 100')
    with pytest.raises(
        EdgeError,
        match=r"`apt-get install haproxy` on .* fails; its last lines:\n"
        r"  E: Unable to locate package haproxy",
    ):
        install.haproxy()


def test_a_machine_without_apt_is_told_what_to_do(program: Program) -> None:  # noqa: ARG001
    with pytest.raises(EdgeError, match=r"haproxy is not installed on .*, which has no apt-get"):
        install.haproxy()


def test_only_root_installs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EdgeError, match="only root can; run `apt-get install haproxy`"):
        install.haproxy()


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u2 2023/12/16", (2, 6, 12)),
        ("HAProxy version 3.0.11-1+deb13u1 2025/01/01", (3, 0, 11)),
        ("HA-Proxy version 2.2.9-2+deb11u6 2023/04/10", (2, 2, 9)),
        ("HAProxy version 2.9-dev3-abc 2023/08/10", (2, 9)),
        ("nginx version: nginx/1.22.1", None),
    ],
)
def test_versions(told: str, version: tuple[int, ...] | None) -> None:
    assert install.haproxy_version(told) == version


def test_one_that_is_too_old_is_refused_before_anything_is_touched(
    program: Program, tmp_path: Path
) -> None:
    program("haproxy", haproxy("HA-Proxy version 2.2.9-2+deb11u6"))
    instance = Instance(str(tmp_path / "edge"), "test")
    with pytest.raises(
        EdgeError,
        match=r"HAProxy 2\.2\.9 on .* is too old: the edge needs 2\.6 or newer, which Debian has"
        r" since 12; install a newer one there",
    ):
        apply(instance, pack(Bundle("global\n", {FILE: text(Facts())})), 1)
    assert not (tmp_path / "edge").exists()


def test_units_are_services_sockets_and_timers_but_no_templates() -> None:
    paths = (
        "/lib/systemd/system/haproxy.service\n/usr/lib/systemd/system/a.socket\n"
        "/lib/systemd/system/b.timer\n/lib/systemd/system/c@.service\n"
        "/lib/systemd/system/d.service.d/x.conf\n/etc/default/haproxy\n"
    )
    assert install.unit_files(paths) == ["haproxy.service", "a.socket", "b.timer"]


def test_the_machines_own_policy_is_back_after_an_error(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    policy.write_text("the machine's own")

    def fail_while_held() -> None:
        with install.installing(policy, backup, tmp_path / "lock"):
            assert policy.read_text().startswith(install.POLICY_TEXT)
            assert policy.stat().st_mode & 0o777 == 0o755
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_while_held()
    assert policy.read_text() == "the machine's own"
    assert not backup.exists()


def test_a_machine_without_a_policy_has_none_afterwards(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    with install.installing(policy, backup, tmp_path / "lock"):
        assert policy.exists()
    assert not policy.exists()


def test_what_a_killed_run_left_is_mended(tmp_path: Path) -> None:
    policy, backup = tmp_path / "policy-rc.d", tmp_path / "saved"
    policy.write_text(install.POLICY_TEXT)
    backup.write_text("the machine's own")
    install.mend(policy, backup)
    assert policy.read_text() == "the machine's own"
    policy.write_text(install.POLICY_TEXT)
    install.mend(policy, backup)
    assert not policy.exists()


def test_a_policy_of_the_machine_is_not_taken_for_ours(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    install.mend(policy, tmp_path / "saved")
    assert policy.exists()


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("POLICY", "POLICY_BACKUP", "LOCK", "DPKG_LOCK"):
        monkeypatch.setattr(install, name, tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path / "POLICY"


def killed_while_installing(policy: Path, packages: str = "haproxy") -> None:
    policy.write_text(f"{install.POLICY_TEXT}# packages: {packages}\n")


@pytest.mark.parametrize("own", ["", "the machine's own"])
@pytest.mark.parametrize("action", ["apply", "renew", "users", "remove"])
def test_every_command_mends_what_a_killed_installation_left(
    policy: Path, tmp_path: Path, own: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    units: list[str] = []
    monkeypatch.setattr(install, "disable_units", units.extend)
    killed_while_installing(policy)
    if own:
        (tmp_path / "POLICY_BACKUP").write_text(own)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    main([action, str(tmp_path / "edge"), "edge", *(["10"] if action == "apply" else [])])
    assert units == ["haproxy"], "nor are its units left enabled"
    assert (policy.read_text() if policy.exists() else "") == own
    assert not (tmp_path / "POLICY_BACKUP").exists()


def test_a_policy_that_was_half_written_goes(policy: Path) -> None:
    part = policy.with_name("POLICY.gatehouse-part")
    part.write_text(install.POLICY_TEXT[:20])
    install.mend_if_left()
    assert not part.exists()


def test_a_policy_of_the_version_before_goes_too(policy: Path) -> None:
    policy.write_text(install.POLICY_TEXT)
    install.mend_if_left()
    assert not policy.exists()


def test_the_policy_stays_while_another_run_or_apt_installs(policy: Path, tmp_path: Path) -> None:
    killed_while_installing(policy)
    with (tmp_path / "LOCK").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        install.mend_if_left()
    assert policy.exists()
    held_by_apt = (
        "import fcntl, sys; held = open(sys.argv[1], 'w'); fcntl.lockf(held, fcntl.LOCK_EX);"
        " print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", held_by_apt, tmp_path / "DPKG_LOCK"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as apt:
        assert apt.stdout is not None
        assert apt.stdout.readline() == b"held\n"
        install.mend_if_left()
        assert policy.exists()
        apt.communicate()
    install.mend_if_left()
    assert not policy.exists()


def test_nothing_is_asked_of_systemd_where_nothing_was_left(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "disable_units", lambda _: pytest.fail("nothing was left"))
    install.mend_if_left()
    policy.write_text("#!/bin/sh\nexit 101\n")
    install.mend_if_left()
    assert policy.exists(), "the machine's own"
