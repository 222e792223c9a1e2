"""Whether the hypervisor has room for the VMs to come: ``python3 -m components.vm.room``.

Run before a domain is made. VMs that are replaced run beside the new ones until those serve, which
takes twice their memory for a while; where that is not there, nothing is begun. libvirt itself
would promise more than there is, and the hypervisor would kill a VM for it later.

What it prints, it is told when it is asked again, and so knows what has been made meanwhile.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass

from components.units import format_size

_KIBIBYTE = 1024


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The VMs of a farm."""

    generation: str
    """Another one means that all VMs are replaced."""
    vms: int
    memory: int
    """Of each, in bytes."""

    def more_than(self, before: "Wanted | None") -> int:
        """Return how much memory it takes beside what was wanted before, in bytes."""
        same = before is not None and before.generation == self.generation
        return max(0, self.vms - (before.vms if before is not None and same else 0)) * self.memory


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """Its memory and how much of it the domains that run may take, in bytes."""

    memory: int
    promised: int


def shortage(wanted: Wanted, before: Wanted | None, hypervisor: Hypervisor) -> str | None:
    """Return why the new VMs do not fit, or None if they do."""
    more = wanted.more_than(before)
    free = hypervisor.memory - hypervisor.promised
    if more <= free:
        return None
    beside = "" if before is None else " beside the ones that serve until then"
    return (
        f"farm.memory: {more // wanted.memory} new VMs of {format_size(wanted.memory)} do not fit"
        f"{beside}: of the hypervisor's {hypervisor.memory / 2**30:.1f}GiB, running domains may"
        f" take {hypervisor.promised / 2**30:.1f}GiB. Nothing was changed. Lower farm.memory or"
        " farm.vms, stop other domains, or, if the service may be away meanwhile, shut this farm's"
        f" VMs down with virsh and run it again (got {format_size(wanted.memory)})"
    )


def hypervisor_from(nodeinfo: str, domstats: str) -> Hypervisor:
    """Return what ``virsh nodeinfo`` and ``virsh domstats --balloon`` tell.

    Raises:
        ValueError: The hypervisor's memory is not in it.
    """
    memory = re.search(r"^Memory size:\s+(\d+) KiB", nodeinfo, re.MULTILINE)
    if memory is None:
        raise ValueError(f"virsh nodeinfo tells no memory size: {nodeinfo!r}")
    maxima = re.findall(r"^\s*balloon\.maximum=(\d+)", domstats, re.MULTILINE)
    return Hypervisor(memory=int(memory[1]) * _KIBIBYTE, promised=sum(map(int, maxima)) * _KIBIBYTE)


def _virsh(uri: str, *arguments: str) -> str:
    return subprocess.run(
        ("virsh", "--connect", uri, *arguments),
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    ).stdout


def main() -> int:
    """Ask the hypervisor; code 1 and the reason on stderr if there is no room."""
    wanted = Wanted(
        generation=os.environ["GATEHOUSE_GENERATION"],
        vms=int(os.environ["GATEHOUSE_VMS"]),
        memory=int(os.environ["GATEHOUSE_MEMORY"]),
    )
    printed = os.environ.get("PULUMI_COMMAND_STDOUT", "")
    before = Wanted(**json.loads(printed)) if printed else None
    uri = os.environ["GATEHOUSE_URI"]
    try:
        found = hypervisor_from(
            _virsh(uri, "nodeinfo"), _virsh(uri, "domstats", "--balloon", "--list-running")
        )
    except (subprocess.SubprocessError, ValueError) as error:
        told = getattr(error, "stderr", None) or error
        print(f"farm.hypervisors.0.uri: {uri} does not tell its memory: {told}", file=sys.stderr)
        return 1
    problem = shortage(wanted, before, found)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(asdict(wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
