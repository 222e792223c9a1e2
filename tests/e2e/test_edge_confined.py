"""What an auditor finds of the edge: whom its processes are, what they reach, what answers tell."""

import itertools
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.config.models.edge import Tls
from lab.loopback.site import a_site
from remote.edge_agent import chroot, users
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.edge_changes import ADDRESSES, lose_nothing
from tests.support.edge_driver import TLS_PORT, Edge, an_edge
from tests.support.edge_load import Servers
from tests.support.two_tiers import Answer, curl, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)

TOLD = re.compile(r"haproxy|traefik|certbot|python|gatehouse|app/1\.0|powered", re.IGNORECASE)
# By capability(7)'s names, with the kernel's numbers.
_NEEDED = {"chown": 0, "fowner": 3, "kill": 5, "setgid": 6, "setuid": 7} | {
    "net_bind_service": 10,
    "sys_chroot": 18,
}

# As the user haproxy in the workers' root. What it imports, it does before.
_TAKEN_OVER = """
import json, os, socket, sys
root, uid, gid, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.chroot(root)
os.chdir("/")
os.setgroups([])
os.setgid(gid)
os.setuid(uid)

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"

def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

print(json.dumps({
    "hand over": attempt(connect, f"{folder}/next.sock"),
    "order about": attempt(connect, f"{folder}/admin.sock"),
    "read a key": attempt(open, f"{folder}/haproxy.cfg"),
    "read an account": attempt(open, "/etc/passwd"),
    "look around": attempt(os.listdir, "/"),
    "look there": attempt(os.listdir, folder),
    "leave something": attempt(os.mkdir, "/mine"),
    "take its place": attempt(os.unlink, f"{folder}/next.sock"),
}))
"""


def status(pid: int) -> dict[str, list[str]]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def test_a_worker_is_nobody_and_holds_no_rights(edge: Edge, servers: Servers) -> None:
    haproxy = pwd.getpwnam("haproxy")
    with servers.running(*ADDRESSES[:2]):
        for address in ADDRESSES[:2]:  # one that was started, and one after a reload
            edge.apply({"web-0": address})
            for pid in edge.instance.workers():
                told = status(pid)
                assert told["Uid"] == [str(haproxy.pw_uid)] * 4
                assert told["Gid"] == [str(haproxy.pw_gid)] * 4
                assert told["Groups"] in ([], [str(haproxy.pw_gid)])
                assert {int(told[each][0], 16) for each in ("CapEff", "CapPrm", "CapInh")} == {0}
                assert told["NoNewPrivs"] == ["1"]
                root = Path(f"/proc/{pid}/root").readlink()
                assert root == edge.instance.folder / "chroot"


def test_the_master_has_few_of_roots_rights(edge: Edge, servers: Servers) -> None:
    with servers.running(ADDRESSES[0]):
        edge.apply({"web-0": ADDRESSES[0]})
        told = status(edge.master() or 0)
    assert told["NoNewPrivs"] == ["1"]
    held = int(told["CapBnd"][0], 16)
    assert held == sum(1 << number for number in _NEEDED.values())


def test_from_a_worker_nothing_is_reached_but_the_next_one(edge: Edge, servers: Servers) -> None:
    haproxy = pwd.getpwnam("haproxy")
    folder = edge.instance.folder
    with servers.running(*ADDRESSES[:2]):
        for address in ADDRESSES[:2]:
            edge.apply({"web-0": address})
            command = (sys.executable, "-I", "-c", _TAKEN_OVER, str(folder / "chroot"))
            ids = (str(haproxy.pw_uid), str(haproxy.pw_gid), str(folder))
            told = subprocess.run((*command, *ids), check=True, capture_output=True, text=True)
            assert json.loads(told.stdout) == {
                "hand over": "done",
                "order about": "FileNotFoundError",
                "read a key": "FileNotFoundError",
                "read an account": "FileNotFoundError",
                "look around": "PermissionError",
                "look there": "PermissionError",
                "leave something": "PermissionError",
                "take its place": "PermissionError",
            }
    inside = [path for path in (folder / "chroot").rglob("*") if not path.is_dir()]
    assert [path.name for path in inside] == ["next.sock"]


def test_only_root_gets_at_the_edges_files_and_sockets(servers: Servers) -> None:
    with an_edge(Tls(port=TLS_PORT, self_signed=True)) as edge, servers.running(ADDRESSES[0]):
        with edge.instance.locked():
            users.keep(edge.instance.folder, "userlist app\n")
        edge.apply({"web-0": ADDRESSES[0]})
        folder = edge.instance.folder
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {
            str(path.relative_to(folder)): path.lstat()
            for path in folder.rglob("*")
            # A link has no rights; what it leads to is in the folder too.
            if not path.is_relative_to(folder / "chroot") and not path.is_symlink()
        }
        certificates = (folder / "files" / "certs").resolve().relative_to(folder)
        for name in ("admin.sock", "master.sock", "next.sock", "haproxy.cfg", str(certificates)):
            assert name in modes
        assert [name for name, found in modes.items() if found.st_mode & 0o077] == []
        assert {name for name, found in modes.items() if found.st_uid != 0} == {"next.sock"}
        folder.chmod(0o711)  # even then
        folder.parent.chmod(0o711)
        for name in ("admin.sock", "master.sock", "next.sock"):
            asked = subprocess.run(
                (
                    *("setpriv", "--reuid=nobody", "--clear-groups", sys.executable, "-I", "-c"),
                    "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
                    str(folder / name),
                ),
                check=False,
                capture_output=True,
                text=True,
            )
            assert "PermissionError" in asked.stderr, name


# From before there was a chroot, and back.


def as_before(patch: pytest.MonkeyPatch, edge: Edge, text: str) -> str:
    """Have the edge agent do as it did before there was a chroot, and return the text of then."""

    def open_to_workers(folder: Path) -> None:
        shutil.chown(folder, group="haproxy")
        folder.chmod(0o710)

    edge.instance.folder.parent.chmod(0o711)
    patch.setattr(chroot, "make", open_to_workers)
    patch.setattr(chroot, "link", lambda _: None)
    patch.setattr(Instance, "close_folder", lambda _: None)
    before, chrooted, after = text.partition(f"    chroot {edge.instance.folder}/chroot\n")
    assert chrooted
    return before + after


def test_upgrades_and_rollbacks_under_load_lose_no_request(
    edge: Edge, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, apply = Edge.text, Edge.apply
    times = itertools.count()

    def upgraded_or_rolled_back(edge: Edge, pool: dict[str, str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if next(times) % 4 < 2:
                text = as_before(patch, edge, whole(edge, pool))
                patch.setattr(Edge, "text", lambda *_: text)
            apply(edge, pool)

    monkeypatch.setattr(Edge, "apply", upgraded_or_rolled_back)
    lose_nothing(edge, servers)


def test_the_folder_is_closed_when_the_last_worker_without_a_root_has_gone(
    edge: Edge, servers: Servers
) -> None:
    folder = edge.instance.folder

    def mode() -> int:
        return folder.stat().st_mode & 0o777

    with servers.running(*ADDRESSES[:3]):
        with pytest.MonkeyPatch.context() as patch:
            text = as_before(patch, edge, edge.text({"web-0": ADDRESSES[0]}))
            patch.setattr(Edge, "text", lambda *_: text)
            edge.apply({})
        (old,) = edge.instance.workers()
        with socket.create_connection(edge.plain.address) as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            for address in ADDRESSES[1:3]:
                edge.apply({"web-0": address})
                assert mode() == 0o710, "it still has to pass on what this client asks"
            client.sendall(b"Host: app.example.org\r\nX-Id: 0-a\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := client.recv(4096):
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(ADDRESSES[2].encode())
        assert poll(lambda: old not in edge.instance.workers(), 10)
        edge.apply({"web-0": ADDRESSES[0]})
        assert mode() == 0o700


# What answers tell.


class Talkative(App):
    """Tells of its software, unless it is asked not to."""

    def answer(self, path: str, /, *_: object) -> tuple[int, dict[str, str], bytes]:
        wanted = path.rpartition("/")[2]
        code = int(wanted) if wanted.isdigit() else 200
        told = ("Server", "X-Powered-By", "X-AspNet-Version", "X-AspNetMvc-Version")
        return code, dict.fromkeys(told, "app/1.0"), b"."


def tells(answer: Answer) -> list[str]:
    """Return what names software in an answer."""
    text = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    return TOLD.findall(text + answer.body.decode())


def test_no_answer_names_what_it_comes_from() -> None:
    app = Talkative("app")
    with a_site() as site, running(app):
        services = {
            "shop": {"http": {"aliases": ["old.example.org"], "max_body": "1MiB"}},
            "gone": {},
            "away": {"http": {"maintenance": True}},
            "mine": {"http": {"allow": ["192.0.2.1"]}},
            "once": {"http": {"rate_limit": {"requests": 1, "per": "1h"}}},
            "named": {"http": {"headers": {"Server": "named"}}},
        }
        stack = site.stack(services)
        silent = App("gone")
        at = {name: {"web-0": f"{app.address}:{app.port}"} for name in services}
        site.apply(stack, at | {"gone": {"web-0": f"{silent.address}:{silent.port}"}})
        silent.stop()
        assert poll(lambda: curl(site, "http://gone.example.org/").status == 503, 10)
        large = ("--header", "Content-Length: 3000000", "--data", "x")
        seen = [
            (200, curl(site, "http://shop.example.org/")),
            (200, curl(site, "http://shop.example.org/", "--http2-prior-knowledge")),
            (404, curl(site, "http://shop.example.org/404")),
            (500, curl(site, "http://shop.example.org/500")),
            (503, curl(site, "http://shop.example.org/503")),
            (301, curl(site, "http://old.example.org/")),
            (413, curl(site, "http://shop.example.org/", *large)),
            (404, curl(site, "http://nowhere.example.org/")),
            (400, curl(site, "http://shop.example.org/", "--request", "G(T")),
            (503, curl(site, "http://gone.example.org/")),
            (503, curl(site, "http://away.example.org/")),
            (403, curl(site, "http://mine.example.org/")),
            (429, [curl(site, "http://once.example.org/") for _ in range(2)][1]),
        ]
        assert [answer.status for _, answer in seen] == [status for status, _ in seen]
        assert [(status, tells(answer)) for status, answer in seen if tells(answer)] == []
        named = curl(site, "http://named.example.org/")
        assert named.all("server") == ["named"], "by the config, and no other"
        page = subprocess.run(
            ("curl", "--silent", f"http://127.0.0.1:{stack.edge.stats.port}/"),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "shop" in page
        assert not re.search(r"\b[23]\.\d+\.\d+", page), "its version"


def test_a_worker_that_leaves_passes_on_what_the_config_says_of_software() -> None:
    app = Talkative("app")
    with a_site() as site, running(app):
        for number in range(2):
            headers = {"Server": "named", "X-Number": str(number)}
            stack = site.stack({"shop": {"http": {"headers": headers}}})
            if number == 0:
                site.apply(stack, {"shop": {"web-0": f"{app.address}:{app.port}"}})
                client = socket.create_connection(("127.0.0.1", site.port))
                client.sendall(b"GET / HTTP/1.1\r\n")
            else:
                site.apply(stack, {"shop": {"web-0": f"{app.address}:{app.port}"}})
        with client:
            client.sendall(b"Host: shop.example.org\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := client.recv(4096):
                answer += part
    head = answer.decode().lower()
    assert "\r\nx-number: 1\r\n" in head, "by the worker of now"
    assert "\r\nserver: named\r\n" in head
