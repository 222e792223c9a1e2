"""What the config accepts, and the exact messages for what it does not."""

import pytest

from components.config.loading import ConfigError, parse
from tests.support.configs import APP, AT, Mistake, another, assert_refused, changed

SIZES = "must be a size such as 512MiB, 2GiB or 1TiB"
DURATIONS = "must be a duration such as 30s, 10m or 1h30m"
DOMAINS = "must be a domain such as www.example.org or *.example.org, in lower case"
PATHS = "must be a path such as /shop: letters, digits and any of . _ ~ - between single slashes"
FILES = "must be an absolute path of letters, digits and any of . _ - between single slashes"
IMAGES = "must be an image name such as matomo:5-apache or name@sha256:<64 hex digits>"
NAMES = "must be lower-case letters, digits and hyphens, at most 30, a letter first"
HIDDEN = "(value hidden: it may be secret)"

MISTAKES: list[Mistake] = [
    # Types and counts.
    ("farm/vms", 0, "farm.vms: must be at least 1 (got 0)"),
    ("farm/vms", -1, "farm.vms: must be at least 1 (got -1)"),
    ("farm/vms", 1001, "farm.vms: must be at most 1000 (got 1001)"),
    ("farm/vms", "2", 'farm.vms: must be a whole number; write it without quotes: 2 (got "2")'),
    ("farm/vms", 1.5, "farm.vms: must be a whole number (got 1.5)"),
    ("farm/vms", True, "farm.vms: must be a whole number (got true)"),
    ("farm/vms", None, "farm.vms: must be a whole number (got null)"),
    ("farm/vms", ..., "farm.vms: is required (got nothing)"),
    ("farm", ..., "farm: is required (got nothing)"),
    ("farm", "two", "farm: must be a map of keys (got two)"),
    ("farm", [], "farm: must be a map of keys (got an empty list)"),
    ("farm/image", ..., "farm.image: is required (got nothing)"),
    (
        "farm/image",
        "a\nb",
        'farm.image: must be one line of text; remove the line end (got "a\\nb")',
    ),
    ("services", {}, "services: must have at least 1 entry (got an empty map)"),
    ("services", ..., "services: is required (got nothing)"),
    (f"{APP}/replicas", 0, "services.app.replicas: must be at least 1 (got 0)"),
    (f"{APP}/replicas", -3, "services.app.replicas: must be at least 1 (got -3)"),
    (f"{APP}/port", 65536, "services.app.port: must be at most 65535 (got 65536)"),
    (f"{APP}/port", ..., "services.app.port: is required (got nothing)"),
    (f"{APP}/hosts", [], "services.app.hosts: must have at least 1 entry (got an empty list)"),
    (
        f"{APP}/hosts",
        "a.b",
        "services.app.hosts: must be a list; write it as a list: [a.b] (got a.b)",
    ),
    (
        f"{APP}/read_only",
        "yes",
        'services.app.read_only: must be true or false; write true (got "yes")',
    ),
    (f"{APP}/cpus", 0, "services.app.cpus: must be at least 0.01 (got 0)"),
    (
        f"{APP}/cpus",
        "1",
        'services.app.cpus: must be a number; write it without quotes: 1 (got "1")',
    ),
    (
        "edge/port",
        "80",
        'edge.port: must be a whole number; write it without quotes: 80 (got "80")',
    ),
    # Unknown keys.
    ("farm/vmz", 2, "farm.vmz: unknown key; did you mean vms? (got 2)"),
    (f"{APP}/replica", 2, "services.app.replica: unknown key; did you mean replicas? (got 2)"),
    ("egde", {}, "egde: unknown key; did you mean edge? (got an empty map)"),
    (
        f"{APP}/health",
        {"url": "/"},
        "services.app.health.url: unknown key; Gatehouse calls it path (got /)",
    ),
    (
        "farm.vms",
        3,
        "farm.vms: unknown key; set it with `pulumi config set --path gatehouse:farm.vms`, and"
        " remove this line (got 3)",
    ),
    (
        'registries["docker.io"].username',
        "me",
        '"registries[\\"docker.io\\"].username": unknown key; set it with `pulumi config set --path'
        " 'gatehouse:registries[\"docker.io\"].username'`, and remove this line (got me)",
    ),
    (
        "services.app.secret_env.TOKEN",
        "hunter2",
        "services.app.secret_env.TOKEN: unknown key; set it with `pulumi config set --secret --path"
        f" gatehouse:services.app.secret_env.TOKEN`, and remove this line {HIDDEN}",
    ),
    # Keys with too little of an indent.
    (
        "services/app",
        None,
        "services.app: must be a map of keys; indent its keys below it (got null)",
    ),
    (
        "services/image",
        "nginx",
        "services.image: must be a map of keys; if image is a key of one of the services, indent it"
        " below its name (got nginx)",
    ),
    (
        "services/hosts",
        ["a.org"],
        "services.hosts: must be a map of keys; if hosts is a key of one of the services, indent it"
        " below its name (got a list)",
    ),
    (
        "registries",
        {"docker.io": None, "username": "me", "password": "hunter2"},
        "registries.password: must be a map of keys; if password is a key of one of the registries,"
        f" indent it below its name {HIDDEN}",
    ),
    ("farm", None, "farm: must be a map of keys; indent its keys below it (got null)"),
    ("services", None, "services: must be a map of keys; indent its keys below it (got null)"),
    (
        "edge",
        None,
        "edge: must be a map of keys, such as {port: 80}; indent its keys below it (got null)",
    ),
    # Sizes, durations, choices.
    ("farm/memory", "2GB", f"farm.memory: {SIZES}; did you mean 2GiB? (got 2GB)"),
    ("farm/memory", 2, f"farm.memory: {SIZES}; did you mean 2GiB or 2MiB? (got 2)"),
    ("farm/disk", "20", f'farm.disk: {SIZES}; did you mean 20GiB or 20MiB? (got "20")'),
    (f"{APP}/memory", 2048, f"{AT}.memory: {SIZES}; did you mean 2048MiB? (got 2048)"),
    (
        "farm/disk",
        "0.5MiB",
        "farm.disk: must be a whole number of MiB, at least 1MiB (got 0.5MiB)",
    ),
    ("farm/boot_timeout", "10", f'farm.boot_timeout: {DURATIONS}; did you mean 10s? (got "10")'),
    (
        f"{APP}/health/interval",
        10,
        f"{AT}.health.interval: {DURATIONS}; did you mean 10s? (got 10)",
    ),
    (f"{APP}/stop_grace", "5 min", f"{AT}.stop_grace: {DURATIONS}; did you mean 5m? (got 5 min)"),
    (f"{APP}/stop_grace", "0s", f"services.app.stop_grace: {DURATIONS} (got 0s)"),
    ("farm/domain_type", "xen", "farm.domain_type: must be 'kvm' or 'qemu' (got xen)"),
    (
        f"{APP}/capabilities",
        ["CHOWN", "SETUDI"],
        "services.app.capabilities.1: must be one of Linux's capabilities; did you mean SETUID?"
        " (got SETUDI)",
    ),
    (
        f"{APP}/capabilities",
        ["ALL"],
        "services.app.capabilities.0: must be one of Linux's capabilities, such as CHOWN or SETUID"
        " (got ALL)",
    ),
    (f"{APP}/pids", 0, "services.app.pids: must be at least 1 (got 0)"),
    (
        f"{APP}/volumes",
        [{"path": "/a", "host": "/var/run/docker.sock"}],
        "services.app.volumes.0.host: would give the container control of the VM, whose"
        " system uses /var/run; use a folder in /srv (got /var/run/docker.sock)",
    ),
    (
        f"{APP}/volumes",
        [{"path": "/a", "host": "/etc"}],
        "services.app.volumes.0.host: would give the container control of the VM, whose"
        " system uses /etc; use a folder in /srv (got /etc)",
    ),
    (
        "farm/ssh_from",
        ["office"],
        "farm.ssh_from.0: must be an IPv4 network such as 10.90.0.0/24 (got office)",
    ),
    (
        f"{APP}/restart",
        "sometimes",
        "services.app.restart: must be 'no', 'on-failure', 'unless-stopped' or 'always'"
        " (got sometimes)",
    ),
    # Text that would break out of its place.
    (f"{APP}/hosts", ["A.example.org"], f"services.app.hosts.0: {DOMAINS} (got A.example.org)"),
    (f"{APP}/hosts", ["a`) || Host(`b"], f"services.app.hosts.0: {DOMAINS} (got a`) || Host(`b)"),
    (f"{APP}/hosts", ["a.org\n"], f'services.app.hosts.0: {DOMAINS} (got "a.org\\n")'),
    (f"{APP}/hosts", ["*"], f"services.app.hosts.0: {DOMAINS} (got *)"),
    (f"{APP}/path", "shop", f"services.app.path: {PATHS} (got shop)"),
    (f"{APP}/path", "/a b", f"services.app.path: {PATHS} (got /a b)"),
    (f"{APP}/path", "/a/../b", f"services.app.path: {PATHS} (got /a/../b)"),
    (f"{APP}/image", "app@sha256:abc", f"services.app.image: {IMAGES} (got app@sha256:abc)"),
    (
        f"{APP}/image",
        "app:1 --privileged",
        f"services.app.image: {IMAGES} (got app:1 --privileged)",
    ),
    ("services/App", another(), f"services.App: {NAMES} (got App)"),
    ("services/_nowhere", another(), f"services._nowhere: {NAMES} (got _nowhere)"),
    ("edge/folder", "/var/../etc", f"edge.folder: {FILES} (got /var/../etc)"),
    ("edge/folder", "/a b", f"edge.folder: {FILES} (got /a b)"),
    ("edge/bind", "everywhere", "edge.bind: must be an IP address (got everywhere)"),
    (
        "farm/packages",
        ["htop; reboot"],
        "farm.packages.0: must be the name of a Debian package, perhaps with its version or"
        " suite, such as htop, htop=3.2.2-2 or htop/bookworm-backports (got htop; reboot)",
    ),
    (
        "farm/hypervisors",
        [{"uri": "qemu:///system; reboot"}],
        "farm.hypervisors.0.uri: must be a libvirt URI such as qemu:///system"
        " (got qemu:///system; reboot)",
    ),
    (
        "farm/hypervisors",
        [{}, {}],
        "farm.hypervisors: must have at most 1 entry (got a list)",
    ),
    (
        "farm/registry_mirror",
        "192.0.2.1:5000",
        "farm.registry_mirror: must be a URL such as http://192.0.2.1:5000 (got 192.0.2.1:5000)",
    ),
    (f"{APP}/env", {"A": 1}, "services.app.env.A: must be text; put it in quotes (got 1)"),
    (
        f"{APP}/user",
        "root; id",
        "services.app.user: must be a user and perhaps a group, such as www-data or 1000:1000"
        " (got root; id)",
    ),
    # Secrets are not shown.
    (
        f"{APP}/secret_env",
        {"PASSWORD": 12345},
        f"services.app.secret_env.PASSWORD: must be text; put it in quotes {HIDDEN}",
    ),
    (
        f"{APP}/secretenv",
        "hunter2",
        f"services.app.secretenv: unknown key; did you mean secret_env? {HIDDEN}",
    ),
    (
        "registries",
        {"registry.example.org": {"username": "me", "password": ["hunter2"]}},
        "registries.registry.example.org.password: must be text; write one value, not a list"
        " (value hidden: it may be secret)",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake[:2])[:50])
def test_a_mistake_is_reported_by_its_path(mistake: Mistake) -> None:
    assert_refused(mistake)


def test_all_mistakes_are_reported_at_once() -> None:
    raw = changed(f"{APP}/replicas", 0)
    raw["farm"]["vms"] = 0
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "farm.vms: must be at least 1 (got 0)",
        "services.app.replicas: must be at least 1 (got 0)",
    )
    assert str(error.value).startswith(
        "the stack config is wrong, nothing was changed:\n  farm.vms"
    )
