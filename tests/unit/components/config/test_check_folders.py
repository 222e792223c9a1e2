"""Containers get folders of the VM that are allowed, whatever way a path is written."""

import copy
import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.checks.folders import ALLOWED
from tests.support.configs import BASE, problems

PATH = "services.app.volumes.0.host"
SYSTEM = (
    *("/", "/bin", "/boot", "/dev/sda", "/etc", "/etc/cron.d", "/home", "/home/gatehouse/.ssh"),
    *("/lib", "/lib/systemd/system", "/lib64", "/opt", "/opt/containerd/bin", "/proc", "/root"),
    *("/run/docker.sock", "/sbin", "/sys", "/tmp", "/usr/local/bin", "/var", "/var/lib"),  # noqa: S108
    *("/var/lib/docker", "/var/lib/gatehouse/agent", "/var/log", "/var/run/docker.sock"),
    *("/var/spool/cron/crontabs", "/var/lib/cloud/scripts", "/var/lib/dpkg/info", "/var/tmp/x"),  # noqa: S108
)


def config(host: str, *folders: str) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    raw["farm"]["volume_folders"] = list(folders)
    raw["services"]["app"]["volumes"] = [{"path": "/data", "host": host}]
    return raw


@pytest.mark.parametrize("host", ["/srv", "/srv/a/b", "/mnt/x", "/opt/app", "/data", "/media/cd"])
def test_folders_for_data_are_allowed(host: str) -> None:
    assert problems(config(host)) == ()


@pytest.mark.parametrize("host", SYSTEM)
def test_folders_of_the_system_are_not_even_where_the_config_adds_them(host: str) -> None:
    (problem,) = problems(config(host))
    assert problem.startswith(f"{PATH}: ")
    first = problems(config("/srv/a", host))[0]
    assert first.startswith("farm.volume_folders.0: ")


@pytest.mark.parametrize("host", ["/var/lib/matomo", "/home/alice/site", "/srvice", "/volumes/a"])
def test_any_other_folder_has_to_be_added_by_name(host: str) -> None:
    assert problems(config(host)) == (
        f"{PATH}: must be in /srv, /mnt, /opt, /data or /media, or in a folder of"
        f" farm.volume_folders; add one there, or use `name` (got {host})",
    )
    assert problems(config(host, host)) == ()
    assert problems(config(f"{host}/below", host)) == ()
    assert len(problems(config(f"{host}x", host))) == 1


def test_a_folder_around_one_of_the_system_is_refused_with_the_reason() -> None:
    assert problems(config("/srv/a", "/var/lib")) == (
        "farm.volume_folders.0: would give the container control of the VM: it contains"
        " /var/lib/apt; use a folder in /srv (got /var/lib)",
    )


_parts = st.sampled_from(
    (
        *("srv", "opt", "data", "etc", "var", "lib", "run", "..", ".", "", "SRV", "srv ", "%2e%2e"),
        *("~", "$HOME", "a\n", "..\u200b", "．．", "etc/..", "docker", "containerd", "foo", "\\"),
    )
)
_paths = st.lists(_parts, min_size=1, max_size=5).map("/".join)


@given(st.tuples(st.sampled_from(("/", "//", "", "./", "/srv/", "/srv/../")), _paths))
def test_no_spelling_gets_out_of_the_allowed_folders(parts: tuple[str, str]) -> None:
    host = "".join(parts)
    if problems(config(host, "/var/lib/foo")):
        return
    meant = posixpath.normpath(host)
    assert host == meant
    allowed = (*ALLOWED, "/var/lib/foo")
    assert any(meant == each or meant.startswith(f"{each}/") for each in allowed)
    assert not meant.startswith("/opt/containerd")
