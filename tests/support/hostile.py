"""What means something to a layer below: YAML, HAProxy, Traefik's rules, templates, the shell."""

import datetime
from typing import Any

from hypothesis import strategies as st

# Allowed, though a layer below has another meaning for the word.
NAMES = (
    *("app", "shop", "web", "http", "global", "defaults", "frontend", "backend", "server"),
    *("if", "unless", "or", "default", "none", "null", "true", "no", "on", "y", "e1", "x-1"),
    *("a" * 30, "z9", "path", "health", "placement", "edge", "farm", "self", "traefik"),
    *("http-0", "a--b", "listen", "password", "gatehouse"),
)
LABELS = (
    *("a", "0", "x1", "1e3", "0x10", "no", "null", "true", "example", "xn--bcher-kva", "a--b"),
    *("a" * 63, "127", "00", "www", "if"),
)
PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/c", "/~a", "/.a", "/a..b", "/-", "/...", "/0", "/a_b")
USERS = ("a", "root", "password", "user", "0", "a.b@c-d_e", "userlist", "z" * 64)
NETWORKS = ("192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "fe80::1", "10.0.0.1", "::1")
HEADERS = (
    *(
        "X-A",
        "Server",
        "if",
        "unless",
        "Content-Type",
        "a",
        "hdr",
        "Cache-Control",
        "x-" + "y" * 62,
    ),
    *("Content-Security-Policy", "X-0-"),
)
FILE_PATHS = ("/a", "/var/lib/x", "/srv/a-b_c.d", "/null", "/0", "/.x")
ENV_NAMES = (
    *("A", "_", "a1", "PATH", "LD_PRELOAD", "null", "no", "e3", "spring.datasource.url", "A-B"),
    *("0", "é", "with space", "a\nb", "$(reboot)", "%s", '"', "{{ a }}", "a: b", "#", "[key]"),
)
VOLUME_HOSTS = ("/srv", "/srv/a-b_c.d", "/data/null", "/mnt/0", "/opt/.x", "/media/a")
PACKAGES = (
    *("htop=3.2.2-2", "g++=4:12.2.0-3", "htop/bookworm-backports"),
    *("htop", "g++", "libc6.1", "1e3", "0x1f", "2001-01-01", "1.5", "null", "12", "0o7"),
)
CAPABILITIES = ("CHOWN", "cap_setuid", "SETGID", "NET_BIND_SERVICE", "SYS_ADMIN")
SSH_NETWORKS = (
    *("0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "192.0.2.0/24", "198.51.100.1"),
    "198.51.100.6/31",
)
LABEL_KEYS = ("team", "a.b/c-d", "traefik", "gatehouse", "x_y", "0", "com.docker.compose.service")

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICDZWmBJxt0ifMPUQBmGSq7kB8/CXFJ1DfYxmsu6SzFY"
"""A whole one, of which nobody has the private half."""

PIECES = (
    *("a", "Z", "0", " ", "-", "_", ".", "..", "/", "//", "../", ":", ": ", "- ", ", ", "1e3"),
    *("\t", "\n", "\r\n", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff"),
    *("é", "ı", "\u212a", "１", "😀", "例え", "\u00a0", "\u0660", "ſ", "İ", "\ud800", "\r"),
    *('"', "'", "`", "\\", "\\n", "\\x20", "#", " # ", "$", "${HOME}", '"${HOME}"', "$(reboot)"),
    *("%", "%s", "%n", "%[env(HOME)]", "{", "}", "{{", "}}", "{{ 7*7 }}", "{% raw %}", "{#"),
    *("[", "]", "|", "| -", "&", "&&", ";", "; reboot;", "*", "*.", "?", "!", "@", "~", "="),
    *("`) || Host(`evil.example", "`)", "(", ")", "||", "true", "null", "no", "0x10", ".inf"),
    *("2001-01-01", "2001-99-99", "0001-01-01 00:00:00 +23:59", "1:20", "<", ">", "<<", "=~"),
    *("&a [*a]", "*a", "!!set {a}", "!!int", "!!timestamp x", "!!python/object/apply:os.exit []"),
    *("---\n", "\n...\n", "\n---\nevil: true\n", "%eth0", "%x stats", "\\\n", "[key]", "\n\n"),
    *("\n    server evil 192.0.2.66:80", "\nfrontend evil\n    bind :81"),
    *("%x\n    stats socket /tmp/evil", "%x\nlisten evil", " $(touch /tmp/evil) "),
    *("a" * 64, "a" * 300, "é" * 200, "a." * 150, "/a" * 300, "/a" * 700, "[" * 1500),
    *("{a: " * 400, "9" * 5000, "x" * 20_000, "\n" * 3000),
)
PRINTABLE = (
    "",
    *(piece for piece in PIECES if not any(ord(c) < 32 or c in "\x7f\ud800" for c in piece)),
)
LINES = (
    *(*PRINTABLE, "\t", "\n", "\r\n", "---\n", "\n...\n", "\n---\nevil: true\n", "\\\n"),
    "\n" * 3000,
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1001, 65536, 10**30, -(10**300), -0.0, 0.5, 1e308, 1e-300),
    *(float("inf"), float("nan"), "", "1", [], {}, [[]], [{}], {"": ""}, {1: 2}, {None: None}),
    *(b"\xff", datetime.date(2001, 1, 1), datetime.datetime(2001, 1, 1), {"a"}, [None], [1, "a"]),
    *({"secure": "v1:x"}, {"path": "/"}, ["a", "a"], ("a",), {(1, 2): 3}, {b"k": "v"}),
    {"[key]": 1},
)
KEYS: tuple[Any, ...] = (
    *(None, True, 0, 1.5, float("nan"), b"k", (1, 2), datetime.date(2001, 1, 1), "", "."),
    *("a", "A", "path", "secure", "[key]", "gatehouse.slot", "traefik.enable"),
    "traefik.http.routers.app.rule",
)
MISSPELT = ("{}s", "{}_", "x{}", "{}\n", "{} ", "{}.", "{}\u2028", "\x1b{}", "token", "[key]")

_piece = st.sampled_from(PIECES)
text = st.one_of(_piece, st.tuples(_piece, _piece, _piece).map("".join), st.text())
"""Any text at all, rich in pieces that mean something somewhere."""
