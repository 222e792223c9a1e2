"""Traefik alone, and both tiers as they are deployed: on loopback, by the real edge agent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.path import cpu
from benchmarks.path.application import LoopbackServer
from benchmarks.path.front import HOST, Front, FrontCertificate
from lab.loopback.site import HEALTH, Site, a_site
from lab.loopback.vm import LoopbackError, Start, vms
from remote.edge_agent.system import poll
from remote.vm_agent import (
    traefik_files,
)

ALONE, BOTH = "Traefik alone", "HAProxy → Traefik"
HAPROXY, TRAEFIK, WRITER = "HAProxy", "Traefik", "the edge's log writer"
"""The tiers whose processor time is counted; the last one is there without systemd only."""
_SERVICE = {"app": {"hosts": [HOST], "health": {"path": HEALTH}}}


@dataclass(frozen=True, kw_only=True)
class Otherwise:
    """How both tiers run otherwise than deployed."""

    edge: Callable[[str], str] = str
    """What to make of haproxy.cfg."""
    start: Start = field(default_factory=Start)


@contextlib.contextmanager
def alone(
    folder: Path, certificate: FrontCertificate, containers: Sequence[LoopbackServer]
) -> Iterator[Front]:
    """Run one Traefik that ends TLS itself, before containers, in an empty folder.

    Its flags are those of a VM's, and its rules too, but for those of TCP, which would take
    connections whose domain it does not know.
    """
    rules = folder / "rules.yml"
    pair = f'{{certFile: "{certificate.fullchain}", keyFile: "{certificate.privkey}"}}'
    rules.write_text(
        traefik_files.NOWHERE.partition("tcp:\n")[0]
        + f"tls: {{stores: {{default: {{defaultCertificate: {pair} }} }} }}\n"
    )

    def flags(given: Sequence[str]) -> list[str]:
        return [
            *(
                f"--providers.file.filename={rules}" if "providers.file" in flag else flag
                for flag in given
            ),
            "--entrypoints.web.http.tls=true",
        ]

    with vms(1, Start(flags=flags, log=folder / "traefik.log")) as (vm,), a_site() as site:
        for each in containers:
            vm.add("app", site.stack(_SERVICE), each)
        yield Front(name=ALONE, port=_port(vm.web), tiers={TRAEFIK: (vm.pid,)})


@contextlib.contextmanager
def both(
    folder: Path,
    certificate: FrontCertificate,
    containers: Sequence[LoopbackServer],
    otherwise: Otherwise | None = None,
) -> Iterator[Front]:
    """Run both tiers with a VM for each container, in an empty folder."""
    how = otherwise or Otherwise()
    starts = [
        replace(how.start, log=folder / f"traefik-{number}.log")
        for number in range(len(containers))
    ]
    with vms(len(containers), *starts) as made, a_site(certificate.live, how.edge) as site:
        stack = site.stack(_SERVICE)
        for vm, container in zip(made, containers, strict=True):
            vm.add("app", stack, container)
        site.apply(stack, {"app": {f"web-{n}": vm.web for n, vm in enumerate(made)}})
        _await_all_up(site, len(made))
        master = int(site.instance.pid_file.read_text().split()[0])
        yield Front(
            name=BOTH,
            port=site.port,
            tiers={
                HAPROXY: (master,),
                TRAEFIK: tuple(vm.pid for vm in made),
                WRITER: cpu.with_argument(str(site.instance.program), "log"),
            },
        )


def _await_all_up(site: Site, count: int) -> None:
    def all_up() -> bool:
        lines = [line.split(",") for line in site.ask("show stat").splitlines()]
        return sum(line[0] == "app" and line[17:18] == ["UP"] for line in lines) >= count

    if not poll(all_up, 30.0):
        raise LoopbackError(f"the edge has no {count} servers up:\n{site.ask('show stat')}")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
