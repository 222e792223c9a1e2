"""Values that are right although they are odd, and wrong ones that look right."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from components.config import machine
from components.config.loading import parse
from components.config.models.hosts import in_punycode
from components.config.models.stack import DOCKER_HUB
from components.host.registries import logins
from components.vm import seed
from lab.providers.docker_container import _config
from lab.providers.docker_host import DockerHost
from tests.support import program
from tests.support.configs import APP, BASE, BRIDGE, another, changed, problems

LINES = "-----BEGIN KEY-----\n\tAAAA\r\nBBBB\n-----END KEY-----\n"


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        (f"{APP}/hosts", ["A.example.org"], "services.app.hosts.0: must be a domain"),
        (f"{APP}/http/allow", ["x"], "services.app.http.allow.0: must be a network"),
        (f"{APP}/command", [1], "services.app.command.0: must be text"),
        (f"{APP}/placement/vms", ["A"], "services.app.placement.vms.0: must be lower-case"),
        (f"{APP}/http/basic_auth", {"a": "x"}, "services.app.http.basic_auth.a: must be a SHA"),
        ("farm/hypervisors", [{"uri": "x"}], "farm.hypervisors.0.uri: must be a libvirt URI"),
        ("services", {"App": another()}, "services.App: must be lower-case letters"),
    ],
)
def test_a_wrong_entry_of_a_list_is_the_only_problem(path: str, value: Any, wrong: str) -> None:
    (problem,) = problems(changed(path, value))
    assert problem.startswith(wrong)


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        ("bücher.example.org", "xn--bcher-kva.example.org"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("*.münchen.example", "*.xn--mnchen-3ya.example"),
        ("BÜCHER.example.org", "xn--bcher-kva.example.org"),
    ],
)
def test_a_domain_in_another_script_is_refused_with_what_to_write(
    domain: str, written: str
) -> None:
    problem_text = f"must be written in ASCII, as browsers send it; write {written} (got {domain})"
    assert problems(changed(f"{APP}/hosts", [domain])) == (f"services.app.hosts.0: {problem_text}",)
    assert problems(changed(f"{APP}/hosts", [written])) == ()
    if "*" not in domain:
        (alias,) = problems(changed(f"{APP}/http/aliases", [domain]))
        assert alias == f"services.app.http.aliases.0: {problem_text}"
        host = problems(changed("edge/host", domain))
        assert f"edge.host: {problem_text}" in host


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("farm/registry_mirror", "http://bücher.example:5000"),
        ("edge/tls", {"acme": {"email": "ops@bücher.example"}}),
        ("edge/tls", {"acme": {"email": "a@b.org", "directory": "https://bücher.example/a"}}),
        ("registries", {"bücher.example": {"username": "me", "password": "x"}}),
        ("edge/host", "bücher.example"),
    ],
)
def test_a_domain_within_another_value_is_written_in_ascii_too(path: str, value: Any) -> None:
    (problem,) = [each for each in problems(changed(path, value)) if "ASCII" in each]
    assert "; write xn--bcher-kva.example (" in problem


@pytest.mark.parametrize(
    "host",
    [
        *("https://shop.example.org", "http://Shop.example.org/a?b", "shop.example.org:8080"),
        *("shop.example.org.", "shop.example.org/", "https://shop.example.org:8443/a"),
    ],
)
def test_a_url_in_the_place_of_a_domain_is_refused_with_the_domain(host: str) -> None:
    for path in (f"{APP}/hosts", f"{APP}/http/aliases"):
        (problem,) = problems(changed(path, [host]))
        assert problem.endswith(f"; did you mean shop.example.org? (got {host})")


def test_a_domain_of_which_two_standards_say_different_things_is_not_guessed() -> None:
    assert in_punycode("straße.example") is None
    (problem,) = problems(changed(f"{APP}/hosts", ["straße.example"]))
    assert "an internationalized domain begins with xn--" in problem


@given(st.text(max_size=80))
def test_whatever_is_suggested_for_a_domain_is_accepted(text: str) -> None:
    written = in_punycode(text)
    if written is not None and len(written) <= 253:
        assert problems(changed(f"{APP}/hosts", [written])) == ()


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50)
_VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\r"))


@given(st.dictionaries(_NAMES.map(lambda name: name.replace("=", "-")), _VALUES, max_size=3))
def test_variables_arrive_as_they_are_written(env: dict[str, str]) -> None:
    service = parse(changed(f"{APP}/env", env)).services["app"]
    assert service.env == env
    envs = [f"{name}={value}" for name, value in service.env.items()]
    made = _config({"image": "a", "envs": json.loads(json.dumps(envs))})["Env"]
    assert dict(each.split("=", 1) for each in made) == env


@pytest.mark.parametrize("name", ["", "A=B", "A\0", "=", "\ud800"])
def test_a_name_that_linux_does_not_take_is_refused(name: str) -> None:
    assert len(problems(changed(f"{APP}/env", {name: "x"}))) == 1
    assert len(problems(changed(f"{APP}/secret_env", {name: "x"}))) == 1


def test_text_of_several_lines_reaches_docker_and_the_state() -> None:
    run = program.run(
        program.config(
            services__hello__env={"spring.datasource.url": LINES},
            services__hello__secret_env={"tls-key": LINES},
            services__hello__command=["sh", "-c", LINES],
            services__hello__health={"path": "/", "command": ["sh", "-c", LINES]},
        )
    )
    container = run.resources["hello-web-0-0"].inputs
    envs = [rpc.unwrap_rpc_secret(each) for each in rpc.unwrap_rpc_secret(container["envs"])]
    assert sorted(envs) == [f"spring.datasource.url={LINES}", f"tls-key={LINES}"]
    assert container["command"] == ["sh", "-c", LINES]
    assert container["healthcheck"]["tests"] == ["CMD", "sh", "-c", LINES]


def test_a_character_that_text_does_not_have_is_named() -> None:
    assert problems(changed(f"{APP}/env", {"A": "a\0"})) == (
        'services.app.env.A: must be text; remove the NUL character (got "a\\u0000")',
    )
    assert problems(changed(f"{APP}/labels", {"a": "b\tc"})) == (
        'services.app.labels.a: must be one line of text; remove the tab (got "b\\tc")',
    )


def test_a_variable_that_linux_has_no_room_for_is_refused_before_docker_fails() -> None:
    assert problems(changed(f"{APP}/env", {"A": "x" * 131_069})) == ()
    (problem,) = problems(changed(f"{APP}/env", {"A": "x" * 131_070}))
    assert problem.startswith("services.app.env.A: is too long for Linux, which takes 131072 bytes")
    for key in ("command", "health/command"):
        assert problems(changed(f"{APP}/{key}", ["sh", "x" * 131_071])) == ()
        (problem,) = problems(changed(f"{APP}/{key}", ["sh", "x" * 131_072]))
        where = f"services.app.{key.replace('/', '.')}.1"
        assert problem.startswith(f"{where}: is too long for Linux, which takes 131072 bytes")
    (problem,) = problems(changed(f"{APP}/command", ["sh", "é" * 65_536]))
    assert problem.startswith("services.app.command.1: is too long for Linux")


@pytest.mark.parametrize(
    "package",
    ["htop", "g++", "libstdc++6", "htop=3.2.2-2", "g++=4:12.2.0-3", "python3.11", "a1/bookworm"],
)
def test_a_package_may_have_a_version_or_a_suite(package: str) -> None:
    assert problems(changed("farm/packages", [package])) == ()


@pytest.mark.parametrize(
    "package",
    [
        *("nftables-", "nftables=1-", "chrony=1.2-", "docker.io/bookworm-", "htop.", "a", "-htop"),
        *("htop^", "htop*", "htop=", "htop/", "htop:i386", "htop htop", "htop=1 -y", "htop==1"),
    ],
)
def test_a_word_that_apt_takes_for_more_than_a_package_is_refused(package: str) -> None:
    (problem,) = problems(changed("farm/packages", [package]))
    assert problem.startswith("farm.packages.0: must be the name of a Debian package")


def test_a_package_is_given_once() -> None:
    (problem,) = problems(changed("farm/packages", ["htop", "htop=3.2.2-2"]))
    assert problem == "farm.packages.1: is given twice (got htop)"


def test_ssh_from_takes_addresses_and_networks_of_any_size() -> None:
    networks = ["192.0.2.7/32", "198.51.100.1", "203.0.113.4/31", "10.0.0.0/8", "0.0.0.0/0"]
    stack = parse(changed("farm/ssh_from", networks))
    assert [str(each) for each in stack.farm.ssh_from] == [
        *("192.0.2.7/32", "198.51.100.1/32", "203.0.113.4/31", "10.0.0.0/8", "0.0.0.0/0")
    ]
    assert problems(changed("farm/ssh_from", ["192.0.2.7/24"])) == (
        "farm.ssh_from.0: must be an IPv4 network such as 10.90.0.0/24; did you mean 192.0.2.0/24"
        " or 192.0.2.7? (got 192.0.2.7/24)",
    )


LOGIN = {"username": "me", "password": "hunter2"}
_WORD = st.text("az09", min_size=1, max_size=9)
_REPOSITORY = st.builds(
    "{}{}{}".format,
    _WORD,
    st.just("") | _WORD.map("/{}".format),
    st.just("") | _WORD.map(":{}".format),
)


@given(
    st.sampled_from(DOCKER_HUB),
    st.sampled_from(("", *(f"{each}/" for each in DOCKER_HUB))),
    _REPOSITORY,
)
def test_a_login_to_docker_hub_is_found_for_each_of_its_images(
    host: str, prefix: str, repository: str
) -> None:
    stack = parse({**BASE, "registries": {host: LOGIN, "ghcr.io": {**LOGIN, "username": "other"}}})
    auth = [
        {"address": address, "username": login.username, "password": login.password}
        for address, login in logins(stack.registries)
    ]
    docker = DockerHost({"host": "ssh://a@b", "registryAuth": json.dumps(auth)})
    found = docker.registry_auth(f"{prefix}{repository}")
    assert found == LOGIN


@pytest.mark.parametrize(
    "host",
    [
        *("hub.docker.com", "registry.hub.docker.com", "https://index.docker.io/v1/"),
        *("https://docker.io", "docker.com"),
    ],
)
def test_what_is_no_registry_of_docker_hub_is_refused_with_its_name(host: str) -> None:
    (problem,) = problems({**BASE, "registries": {host: LOGIN}})
    assert ": is not a registry's host; Docker Hub's is docker.io (" in problem
    assert "hunter2" not in problem


def test_docker_hub_is_given_once_and_ports_are_ports() -> None:
    assert problems({**BASE, "registries": {"docker.io": LOGIN, "index.docker.io": LOGIN}}) == (
        "registries.index.docker.io: is Docker Hub, as docker.io is; give it once (got a map)",
    )
    assert problems({**BASE, "registries": {"r.example.org:65535": LOGIN}}) == ()
    for host in ("r.example.org:65536", "r.example.org:0", "r.example.org:00080"):
        assert len(problems({**BASE, "registries": {host: LOGIN}})) == 1


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "qemu+ssh://root@kvm1.example.org/system",
            "qemu+ssh://root@kvm1.example.org:2222/system",
        ),
        *("qemu+tls://192.0.2.5/system", "qemu+tcp://[2001:db8::5]:1/system", "qemu://kvm1/system"),
    ],
)
def test_a_hypervisor_elsewhere_needs_a_bridge(uri: str) -> None:
    raw = changed("farm/hypervisors", [{"uri": uri}])
    (problem,) = problems(raw)
    assert problem.startswith("farm.network.bridge: is required for a hypervisor on another")
    raw["farm"]["network"] = {"cidr": "10.1.0.0/24"}
    assert len(problems(raw)) == 1
    raw["farm"]["network"] = {**BRIDGE, "addresses": ["192.0.2.10/24", "192.0.2.11/24"]}
    assert problems(raw) == ()


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu+unix:///system?socket=/run/a", "qemu+ssh://localhost/system"]
)
def test_a_hypervisor_here_or_at_the_end_of_a_tunnel_does_not(uri: str) -> None:
    assert problems(changed("farm/hypervisors", [{"uri": uri}])) == ()


@pytest.mark.parametrize(
    "uri", ["qemu+ssh://a:b:c/system", "qemu://[::/system", "qemu://h:0/system"]
)
def test_a_uri_that_cannot_be_taken_apart_is_refused(uri: str) -> None:
    (problem,) = problems(changed("farm/hypervisors", [{"uri": uri}]))
    assert problem.startswith("farm.hypervisors.0.uri: must be a libvirt URI such as ")


def test_an_image_is_a_file(tmp_path: Path) -> None:
    image = tmp_path / "a.qcow2"
    image.write_bytes(seed.qcow2(bytes(512)))
    problem_text = {
        str(tmp_path): "is a folder",
        str(tmp_path / "none"): "does not exist",
        str(image / "below"): "cannot be read: Not a directory",
        "/" + "a" * 300: "cannot be read: File name too long",
        "/dev/null": "is not a file",
        str(image): None,
        "https://example.org/a": None,
    }
    for path, problem in problem_text.items():
        assert machine.facts(parse(changed("farm/image", path))).image_problem == problem


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            f"{APP}/volumes",
            ["data:/data"],
            "services.app.volumes.0: must be a map of keys, such as {name: data, path: /data}"
            " (got data:/data)",
        ),
        (
            f"{APP}/command",
            "npm start",
            "services.app.command: must be a list; write it as a list: [npm, start]"
            " (got npm start)",
        ),
        (
            f"{APP}/health",
            "/health",
            "services.app.health: must be a map of keys, such as {path: /health} (got /health)",
        ),
        (
            "farm/hypervisors",
            ["qemu:///system"],
            "farm.hypervisors.0: must be a map of keys, such as {uri: qemu:///system}"
            " (got qemu:///system)",
        ),
        (
            f"{APP}/restart",
            False,
            "services.app.restart: must be 'no', 'on-failure', 'unless-stopped' or 'always'; put it"
            " in quotes, or YAML takes it for true or false (got false)",
        ),
        (f"{APP}/user", [1], "services.app.user: must be text (got a list)"),
        (f"{APP}/user", 1000, "services.app.user: must be text; put it in quotes (got 1000)"),
    ],
)
def test_another_form_of_a_value_is_refused_with_ours(path: str, value: Any, problem: str) -> None:
    assert problems(changed(path, value)) == (problem,)


def key(kind: str, *fields: bytes) -> str:
    wire = b"".join(len(each).to_bytes(4, "big") + each for each in fields)
    return f"{kind} {base64.b64encode(wire).decode()}"


WHOLE = (
    key("ssh-ed25519", b"ssh-ed25519", bytes(32)),
    key("ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256", b"nistp256", bytes(65)),
    key("ssh-rsa", b"ssh-rsa", b"\1\0\1", bytes(385)),
)
NO_KEYS = (
    key("ssh-rsa", b"ssh-ed25519", bytes(32)),
    key("ssh-ed25519", b"ssh-ed25519", bytes(31)),
    key("ssh-ed25519", b"ssh-ed25519", bytes(32), b"x"),
    key("ssh-rsa", b"ssh-rsa", b""),
    key("ssh-rsa", b"ssh-rsa"),
)


def test_a_host_key_is_whole() -> None:
    def problems_of(given: str) -> tuple[str, ...]:
        return problems({**BASE, "edge": {"host": "192.0.2.9", "host_key": given}})

    for right in WHOLE:
        assert problems_of(right) == ()
    cut = [each[:length] for each in WHOLE for length in range(40, 60)]
    for wrong in (*NO_KEYS, *cut):
        (problem,) = problems_of(wrong)
        assert problem.startswith("edge.host_key: must be a ")


def test_a_registrys_user_has_no_colon() -> None:
    for user in ("a:b", ":", ""):
        (problem,) = problems({**BASE, "registries": {"docker.io": {**LOGIN, "username": user}}})
        assert problem.startswith(
            "registries.docker.io.username: must be a user's name, without a colon (got "
        )
