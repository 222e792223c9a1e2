"""What the config accepts, and the exact messages for what it does not."""

import copy
from typing import Any

import pytest

from components.config.loading import ConfigError, parse
from tests.support.hostile import HOST_KEY

BASE: dict[str, Any] = {
    "farm": {"vms": 2, "image": "/images/debian.qcow2"},
    "services": {"app": {"image": "app:1", "hosts": ["a.example.org"], "port": 80}},
}
APP, AT = "services/app", "services.app"


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    *parents, last = path.split("/")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


def another(**changes: Any) -> dict[str, Any]:
    return {"image": "b:1", "hosts": ["b.example.org"], "port": 80, **changes}


def tcp(**changes: Any) -> dict[str, Any]:
    return {"image": "b:1", "port": 80, "tcp": {"port": 5432}, **changes}


SIZES = "must be a size such as 512MiB, 2GiB or 1TiB"
DURATIONS = "must be a duration such as 30s, 10m or 1h30m"
DOMAINS = "must be a domain such as www.example.org or *.example.org, in lower case"
PATHS = "must be a path such as /shop: letters, digits and any of . _ ~ - between single slashes"
FILES = "must be an absolute path of letters, digits and any of . _ - between single slashes"
IMAGES = "must be an image name such as matomo:5-apache or name@sha256:<64 hex digits>"
NAMES = "must be lower-case letters, digits and hyphens, at most 30, a letter first"
HIDDEN = "(value hidden: it may be secret)"
BRIDGE = {"bridge": "br0", "gateway": "192.0.2.1"}

HTTP = f"{APP}/http"
HASH = f"$6$hunter2${'a' * 86}"
HASHES = (
    "must be a SHA-256 or SHA-512 hash of crypt(3), as `openssl passwd -6` makes; slower hashes,"
    " such as bcrypt, would hold up the edge at each request"
)
USERS = "must be a user's name of letters, digits and any of . _ @ -, at most 64"
NETWORKS = "must be a network such as 192.0.2.0/24 or 2001:db8::/32, or an address"

WRONG = [
    # Types and counts.
    ("farm/vms", 0, "farm.vms: must be at least 1 (got 0)"),
    ("farm/vms", -1, "farm.vms: must be at least 1 (got -1)"),
    ("farm/vms", 1001, "farm.vms: must be at most 1000 (got 1001)"),
    ("farm/vms", "2", 'farm.vms: must be a whole number (got "2")'),
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
        "services.app.hosts: must be a list, such as [first, second] (got a.b)",
    ),
    (f"{APP}/read_only", "yes", 'services.app.read_only: must be true or false (got "yes")'),
    (f"{APP}/cpus", 0, "services.app.cpus: must be at least 0.01 (got 0)"),
    (f"{APP}/cpus", "1", 'services.app.cpus: must be a number (got "1")'),
    ("edge/port", "80", 'edge.port: must be a whole number (got "80")'),
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
        "registries.registry.example.org.password: must be text (value hidden: it may be secret)",
    ),
    # Networks.
    (
        "farm/network",
        {"cidr": "10.0.0.1/24"},
        "farm.network.cidr: must be an IPv4 network such as 10.90.0.0/24; did you mean"
        " 10.0.0.0/24 or 10.0.0.1/32? (got 10.0.0.1/24)",
    ),
    (
        "farm/network",
        {"cidr": "10.0.0.0/30"},
        "farm.network.cidr: must have room for VMs: a prefix from /16 to /29 (got 10.0.0.0/30)",
    ),
    (
        "farm/network",
        {"cidr": "10.0.0.0/24", "bridge": "br0"},
        "farm.network: has both cidr and bridge; give one of them (got a map)",
    ),
    (
        "farm/network",
        {"bridge": "br0"},
        "farm.network: needs addresses and gateway with a bridge, where Gatehouse runs no"
        " DHCP server (got a map)",
    ),
    (
        "farm/network",
        {"gateway": "192.0.2.1"},
        "farm.network: gateway is for a bridge; Gatehouse's own network gives addresses by"
        " DHCP (got a map)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24"]},
        "farm.network.addresses: must have one for each of the 2 VMs (got 1)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24", "192.0.2.10/24"]},
        "farm.network.addresses.1: is given twice (got 192.0.2.10)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.1/24", "192.0.2.10/24"]},
        "farm.network.addresses.0: is farm.network.gateway too; choose another address (got"
        " 192.0.2.1/24)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.255/24", "192.0.2.10/24"]},
        "farm.network.addresses.0: is the network's own address or its broadcast address;"
        " choose one between them (got 192.0.2.255/24)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24", "198.51.100.7/24"]},
        "farm.network.addresses.1: is not in one network with farm.network.gateway,"
        " 192.0.2.1; change one of them (got 198.51.100.7/24)",
    ),
    (
        "farm/network",
        {"macs": ["52:54:00:00:00:01", "52:54:00:00:00:01"]},
        "farm.network.macs.1: is given twice (got 52:54:00:00:00:01)",
    ),
    (
        "farm/network",
        {"macs": ["53:54:00:00:00:01", "52:54:00:00:00:01"]},
        "farm.network.macs.0: is a multicast address; make its first byte even (got"
        " 53:54:00:00:00:01)",
    ),
    # Across keys and services.
    (
        f"{APP}/hosts",
        ["a.example.org", "a.example.org"],
        "services.app.hosts.1: is given twice (got a.example.org)",
    ),
    (
        "services/shop",
        another(hosts=["a.example.org"]),
        "services.shop.hosts.0: is claimed by services.app with the same path /; change one"
        " of them (got a.example.org)",
    ),
    (
        "services/shop",
        another(hosts=["*.example.org"], path="/shop"),
        "services.shop.path: is shadowed by services.app, which takes all of / on a.example.org,"
        " and a domain wins over *.example.org (got /shop)",
    ),
    (
        f"{APP}/secret_env",
        {"PATH": "x"},
        "services.app.secret_env.PATH: is in env too; give it once (got PATH)",
    ),
    (
        f"{APP}/labels",
        {"traefik.enable": "false"},
        "services.app.labels.traefik.enable: is Gatehouse's, as are all labels below traefik."
        " and gatehouse.; choose another key (got traefik.enable)",
    ),
    (
        "services/db",
        another(replicas=2, volumes=[{"name": "data", "path": "/data"}]),
        "services.db.volumes.0: 2 replicas would write to it; say `shared: true` if they may, or"
        " `replicas: 1` (got /data)",
    ),
    (
        "services/db",
        another(volumes=[{"path": "/data"}]),
        "services.db.volumes.0: must have either name or host (got a map)",
    ),
    (
        "services/db",
        another(volumes=[{"name": "a", "path": "/data"}, {"name": "b", "path": "/data"}]),
        "services.db.volumes.1.path: is given twice (got /data)",
    ),
    (
        "services/db",
        another(placement={"vms": ["web-0", "web-7"]}),
        "services.db.placement.vms.1: is no VM of this farm, which has web-0 to web-1 (got web-7)",
    ),
    (
        "services/db",
        another(replicas=5, placement={"max_per_vm": 2}),
        "services.db.replicas: at most 4 can be placed, 2 on each of 2 VMs; raise"
        " placement.max_per_vm or farm.vms (got 5)",
    ),
    (f"{APP}/memory", "4GiB", "services.app.memory: is more than a VM has, 2GiB (got 4GiB)"),
    (f"{APP}/cpus", 2.5, "services.app.cpus: is more than a VM has, 2 (got 2.5)"),
    (f"{APP}/strip_path", True, "services.app.strip_path: needs a path to strip (got /)"),
    # TCP services.
    (
        f"{APP}/hosts",
        ...,
        "services.app.hosts: is required for HTTP; give tcp instead for any other protocol"
        " (got nothing)",
    ),
    (
        f"{APP}/tcp",
        {"port": 5432},
        "services.app.hosts: is for HTTP only and cannot be combined with services.app.tcp;"
        " remove one of them (got a list)",
    ),
    (
        "services/db",
        tcp(path="/a"),
        "services.db.path: is for HTTP only and cannot be combined with services.db.tcp;"
        " remove one of them (got /a)",
    ),
    (
        "services/db",
        tcp(strip_path=True),
        "services.db.strip_path: is for HTTP only and cannot be combined with"
        " services.db.tcp; remove one of them (got true)",
    ),
    (
        "services/db",
        tcp(health={"path": "/up"}),
        "services.db.health.path: is for HTTP only and cannot be combined with"
        " services.db.tcp; give health.command, or neither to check that the port takes"
        " connections (got /up)",
    ),
    ("services/db", tcp(tcp={}), "services.db.tcp.port: is required (got nothing)"),
    (
        "services/db",
        tcp(tcp=5432),
        "services.db.tcp: must be a map of keys, such as {port: 5432} (got 5432)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 0}),
        "services.db.tcp.port: must be at least 1 (got 0)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "proxy": True}),
        "services.db.tcp.proxy: unknown key; did you mean proxy_protocol? (got true)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "proxy_protocol": 2}),
        "services.db.tcp.proxy_protocol: must be true or false (got 2)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 5432, "idle_timeout": "597h"}),
        "services.db.tcp.idle_timeout: must be at most 596h (got 597h)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 8404}),
        "services.db.tcp.port: is taken by edge.stats.port; choose another port (got 8404)",
    ),
    (
        "services/db",
        tcp(tcp={"port": 80}),
        "services.db.tcp.port: is taken by edge.port; choose another port (got 80)",
    ),
    (
        "edge/host",
        "edge.example.org",
        "edge.host_key: is required with edge.host, so that the first connection is verified"
        " already; see `ssh-keyscan edge.example.org` (got nothing)",
    ),
    # HTTPS.
    (
        "edge/tls",
        True,
        "edge.tls: must be a map of keys, such as {folder: /etc/letsencrypt/live} (got true)",
    ),
    (
        "edge/tls",
        {},
        "edge.tls: has no source of certificates; give folder, certificates or acme, or"
        " self_signed: true (got none of them)",
    ),
    (
        "edge/tls",
        {"port": 80, "self_signed": True},
        "edge.tls.port: is taken by edge.port; choose another port (got 80)",
    ),
    ("edge/tls", {"folder": "live"}, f"edge.tls.folder: {FILES} (got live)"),
    (
        "edge/tls",
        {"self_sign": True},
        "edge.tls.self_sign: unknown key; did you mean self_signed? (got true)",
    ),
    ("edge/tls", {"hsts": True}, f"edge.tls.hsts: {DURATIONS} (got true)"),
    (
        "edge/tls",
        {"certificates": [{"fullchain": "/a/fullchain.pem"}]},
        "edge.tls.certificates.0.privkey: is required (got nothing)",
    ),
    (
        "edge/tls",
        {"certificates": [{"fullchain": "/a", "privkey": "/b"}] * 2},
        "edge.tls.certificates.1.fullchain: is given twice (got /a)",
    ),
    ("edge/tls", {"acme": {}}, "edge.tls.acme.email: is required (got nothing)"),
    (
        "edge/tls",
        {"acme": {"email": "ops"}},
        "edge.tls.acme.email: must be an e-mail address such as ops@example.org (got ops)",
    ),
    (
        "edge/tls",
        {"acme": {"email": "a@b.org", "directory": "http://acme.example.org/directory"}},
        "edge.tls.acme.directory: must be a URL such as https://acme.example.org/directory"
        " (got http://acme.example.org/directory)",
    ),
    (
        "edge/source",
        "2001:db8::1",
        "edge.source: must be an IPv4 address (got 2001:db8::1)",
    ),
    (
        "edge/source",
        "10.0.0.1,0.0.0.0/0",
        "edge.source: must be an IPv4 address (got 10.0.0.1,0.0.0.0/0)",
    ),
    ("edge/stats", {"port": 0}, "edge.stats.port: must be at least 1 (got 0)"),
    (
        "edge/stats",
        {"bind": "lo"},
        "edge.stats.bind: must be an IP address (got lo)",
    ),
    (
        "edge/stats",
        {"port": 80},
        "edge.stats.port: is taken by edge.port; choose another port (got 80)",
    ),
    (
        "edge",
        {"tls": {"self_signed": True}, "stats": {"port": 443}},
        "edge.stats.port: is taken by edge.tls.port; choose another port (got 443)",
    ),
    (
        "edge",
        {
            "vm": True,
            "host": "edge.example.org",
            "host_key": HOST_KEY,
        },
        "edge.host: cannot be combined with edge.vm; the edge is either another machine or a"
        " VM made here (got edge.example.org)",
    ),
    ("edge/vm", 1, "edge.vm: must be true, false or a map of keys (got 1)"),
    ("edge/vm", [], "edge.vm: must be true, false or a map of keys (got an empty list)"),
    (
        "edge/vm",
        {"memroy": "2GiB"},
        "edge.vm.memroy: unknown key; did you mean memory? (got 2GiB)",
    ),
    ("edge/vm", {"vcpus": 0}, "edge.vm.vcpus: must be at least 1 (got 0)"),
    (
        "edge/vm",
        {"address": "10.90.0.9"},
        "edge.vm.address: must be an address with its prefix, such as 192.0.2.10/24"
        " (got 10.90.0.9)",
    ),
    (
        "edge/vm",
        {"address": "10.91.0.9/24"},
        "edge.vm.address: is not in farm.network.cidr, 10.90.0.0/24 (got 10.91.0.9/24)",
    ),
    (
        "edge/vm",
        {"address": "10.90.0.1/24"},
        "edge.vm.address: is the hypervisor's, as the first one of farm.network.cidr; choose"
        " another one (got 10.90.0.1/24)",
    ),
    (
        "edge/vm",
        {"address": "10.90.0.255/24"},
        "edge.vm.address: is the network's own address or its broadcast address; choose one"
        " between them (got 10.90.0.255/24)",
    ),
    (
        "edge/vm",
        {"mac": "53:54:00:00:00:01"},
        "edge.vm.mac: is a multicast address; make its first byte even (got 53:54:00:00:00:01)",
    ),
    (
        "edge",
        {"vm": True, "bind": "192.0.2.80"},
        "edge.bind: is no address of web-edge, which has 10.90.0.254; remove it (got 192.0.2.80)",
    ),
    (
        "edge",
        {"vm": True, "port": 22},
        "edge.port: is taken by the SSH server of web-edge; choose another port (got 22)",
    ),
    # HTTP.
    (
        f"{HTTP}/stiky",
        True,
        "services.app.http.stiky: unknown key; did you mean sticky? (got true)",
    ),
    (
        f"{HTTP}/balance",
        "random",
        "services.app.http.balance: must be 'roundrobin' or 'leastconn' (got random)",
    ),
    (
        f"{HTTP}/protocol",
        "grpc",
        "services.app.http.protocol: must be 'http' or 'h2c' (got grpc)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 0, "per": "10s"},
        "services.app.http.rate_limit.requests: must be at least 1 (got 0)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 1, "per": "600h"},
        "services.app.http.rate_limit.per: must be at most 596h (got 600h)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 1},
        "services.app.http.rate_limit.per: is required (got nothing)",
    ),
    (f"{HTTP}/timeout", "1", f'services.app.http.timeout: {DURATIONS}; did you mean 1s? (got "1")'),
    (
        f"{HTTP}/max_body",
        "10MB",
        f"services.app.http.max_body: {SIZES}; did you mean 10MiB? (got 10MB)",
    ),
    (
        f"{HTTP}/allow",
        [],
        "services.app.http.allow: must have at least 1 entry (got an empty list)",
    ),
    (
        f"{HTTP}/allow",
        ["192.0.2.1/24"],
        f"services.app.http.allow.0: {NETWORKS} (got 192.0.2.1/24)",
    ),
    (
        f"{HTTP}/allow",
        ["fe80::1%eth0"],
        f"services.app.http.allow.0: {NETWORKS} (got fe80::1%eth0)",
    ),
    (
        f"{HTTP}/allow",
        ["10.0.0.1", "10.0.0.1/32"],
        "services.app.http.allow.1: is given twice (got 10.0.0.1/32)",
    ),
    (f"{HTTP}/basic_auth", {"a:b": HASH}, f"services.app.http.basic_auth.a:b: {USERS} (got a:b)"),
    (f"{HTTP}/basic_auth", {"a": "hunter2"}, f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}"),
    (
        f"{HTTP}/basic_auth",
        {"a": "$2y$10$hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunt"},
        f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}",
    ),
    (f"{HTTP}/basic_auth", {"a": f"{HASH} "}, f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}"),
    (
        f"{HTTP}/basic_auth",
        {"a": f"$6$rounds=5000000$hunter2${'a' * 86}"},
        "services.app.http.basic_auth.a: must have 1000 to 10000 rounds, because each request"
        f" takes them {HIDDEN}",
    ),
    (
        f"{HTTP}/basic_auth",
        {},
        f"services.app.http.basic_auth: must have at least 1 entry {HIDDEN}",
    ),
    (
        f"{HTTP}/basic_auht",
        {"a": "hunter2"},
        f"services.app.http.basic_auht: unknown key; did you mean basic_auth? {HIDDEN}",
    ),
    (
        f"{HTTP}/error_pages",
        {"404": "a.html"},
        "services.app.http.error_pages.404: must be a status that the edge answers with: 401, 403,"
        ' 408, 413, 429, 502, 503 or 504 (got "404")',
    ),
    (
        f"{HTTP}/error_pages",
        {503: "a.html"},
        "services.app.http.error_pages.503: must be text; put it in quotes (got 503)",
    ),
    (
        f"{HTTP}/error_pages",
        {"503": ""},
        'services.app.http.error_pages.503: must not be empty (got "")',
    ),
    (
        f"{HTTP}/headers",
        {"X Y": "a"},
        'services.app.http.headers."X Y": must be a header\'s name of letters, digits and hyphens'
        " (got X Y)",
    ),
    (
        f"{HTTP}/headers",
        {"Content-Length": "1"},
        "services.app.http.headers.Content-Length: is set by HTTP itself; remove it"
        " (got Content-Length)",
    ),
    (
        f"{HTTP}/headers",
        {"Strict-Transport-Security": "max-age=1"},
        "services.app.http.headers.Strict-Transport-Security: is set by edge.tls.hsts; remove it"
        " here (got Strict-Transport-Security)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": True},
        "services.app.http.headers.X-A: must be text, or false to take the header away (got true)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a\nSet-Cookie: b"},
        "services.app.http.headers.X-A: must be one line of text; remove the line end (got"
        ' "a\\nSet-Cookie: b")',
    ),
    (
        f"{HTTP}/headers",
        {"X-A": ""},
        'services.app.http.headers.X-A: must not be empty; false takes the header away (got "")',
    ),
    (
        f"{HTTP}/headers",
        {"X-A": " a"},
        "services.app.http.headers.X-A: must not begin or end with a space (got  a)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a", "x-a": False},
        "services.app.http.headers.x-a: is given twice; upper and lower case are the same in"
        " headers (got x-a)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a" * 2000, "X-B": "b" * 2000},
        "services.app.http.headers: have 4014 bytes together, and HAProxy's buffer has room for"
        " 3000 (got a map)",
    ),
    (
        f"{APP}/health/timeout",
        "597h",
        "services.app.health.timeout: must be at most 596h (got 597h)",
    ),
    (
        f"{HTTP}/body_timeout",
        "597h",
        "services.app.http.body_timeout: must be at most 596h (got 597h)",
    ),
    (
        f"{HTTP}/aliases",
        ["*.example.net"],
        "services.app.http.aliases.0: must be a domain such as www.example.org, in lower case"
        " (got *.example.net)",
    ),
    (
        f"{HTTP}/aliases",
        ["b.example.net", "b.example.net"],
        "services.app.http.aliases.1: is given twice (got b.example.net)",
    ),
    (
        f"{HTTP}/aliases",
        ["a.example.org"],
        "services.app.http.aliases.0: is served by services.app, and an alias only redirects"
        " (got a.example.org)",
    ),
    (
        "services/shop",
        another(http={"aliases": ["a.example.org"]}),
        "services.shop.http.aliases.0: is served by services.app, and an alias only redirects"
        " (got a.example.org)",
    ),
    (
        APP,
        another(hosts=["*.example.org"], http={"aliases": ["b.example.net"]}),
        "services.app.http.aliases: need a whole domain in services.app.hosts to redirect to"
        " (got b.example.net)",
    ),
    ("edge/host", "Edge", "edge.host: must be an IP address or a domain in lower case (got Edge)"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_a_mistake_is_told_by_its_path(path: str, value: Any, message: str) -> None:
    raw = changed(path, value)
    if path == f"{APP}/secret_env" and "PATH" in value:
        raw["services"]["app"]["env"] = {"PATH": "/bin"}
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert message in error.value.problems
    assert "hunter2" not in str(error.value)


def test_the_table_of_mistakes_is_a_long_one() -> None:
    assert len(WRONG) >= 60


def test_all_mistakes_are_told_at_once() -> None:
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
