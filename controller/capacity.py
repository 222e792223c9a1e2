"""Check that the hypervisor has memory for new VMs: ``python3 -m controller.capacity``.

Runs before any domain is created. Replaced VMs run beside the new ones until those serve, which
takes twice their memory. If there is too little, the update ends here. libvirt itself would promise
more memory than there is, and the hypervisor would later kill a VM for want of it.

The next run receives this output, and so knows which VMs exist.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass

from components.config.units import format_size
from controller.virsh import virsh

_KIBIBYTE = 1024


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The VMs of a farm."""

    generation: str
    """A different generation means that all VMs are replaced."""
    vms: int
    memory: int
    """Memory of each VM, in bytes."""
    edge: int = 0
    """The memory of the edge's VM, in bytes; 0 if there is none. Its old VM is removed first."""
    staying: int = 0
    """How many VMs stay although their generation differs."""

    def new_vms(self, before: "Wanted | None") -> int:
        """Return how many VMs have to be created in addition to those wanted before."""
        if before is None or before.generation != self.generation:
            return max(0, self.vms - self.staying)
        more, replaced = self.vms - before.vms, before.staying - self.staying
        return min(self.vms, max(0, more) + max(0, replaced))

    def more_edge(self, before: "Wanted | None") -> int:
        """Return how much more memory the edge's VM takes than before, in bytes."""
        return max(0, self.edge - (before.edge if before is not None else 0))


@dataclass(frozen=True, kw_only=True)
class HypervisorMemory:
    """A hypervisor's memory, and how much of it running domains may take, in bytes."""

    memory: int
    promised: int


def shortage(wanted: Wanted, before: Wanted | None, hypervisor: HypervisorMemory) -> str | None:
    """Return why the new VMs do not fit, or None if they do."""
    new, edge = wanted.new_vms(before), wanted.more_edge(before)
    if new * wanted.memory + edge <= hypervisor.memory - hypervisor.promised:
        return None
    key, memory = ("farm", wanted.memory) if new else ("edge.vm", wanted.edge)
    what = [f"{new} new VMs of {format_size(wanted.memory)}"] if new else []
    what += [f"{format_size(edge)} more for the edge's VM"] if edge else []
    beside = "" if before is None else " beside the ones that serve until then"
    return (
        f"{key}.memory: {' and '.join(what)} do not fit{beside}: of the hypervisor's"
        f" {hypervisor.memory / 2**30:.1f}GiB, running domains may"
        f" take {hypervisor.promised / 2**30:.1f}GiB. Nothing was changed. Lower {key}.memory or"
        " farm.vms, stop other domains, or, if an outage is acceptable, shut this farm's VMs down"
        f" with virsh and run this again (got {format_size(memory)})"
    )


def hypervisor_from(nodeinfo: str, domstats: str) -> HypervisorMemory:
    """Parse the output of ``virsh nodeinfo`` and ``virsh domstats --balloon``.

    Raises:
        ValueError: The hypervisor's memory is not in it.
    """
    memory = re.search(r"^Memory size:\s+(\d+) KiB", nodeinfo, re.MULTILINE)
    if memory is None:
        raise ValueError(f"virsh nodeinfo shows no memory size: {nodeinfo!r}")
    maxima = re.findall(r"^\s*balloon\.maximum=(\d+)", domstats, re.MULTILINE)
    return HypervisorMemory(
        memory=int(memory[1]) * _KIBIBYTE, promised=sum(map(int, maxima)) * _KIBIBYTE
    )


def _told(uri: str, *arguments: str) -> str:
    told = virsh(uri, *arguments)
    told.check_returncode()
    return told.stdout


def main(arguments: list[str]) -> int:
    """Ask the hypervisor; code 1 and the reason on stderr if it does not suffice."""
    argparse.ArgumentParser("python3 -m controller.capacity").parse_args(arguments)
    wanted = Wanted(
        generation=os.environ["GATEHOUSE_GENERATION"],
        vms=int(os.environ["GATEHOUSE_VMS"]),
        memory=int(os.environ["GATEHOUSE_MEMORY"]),
        edge=int(os.environ.get("GATEHOUSE_EDGE_MEMORY", "0")),
        staying=int(os.environ.get("GATEHOUSE_STAYING", "0")),
    )
    printed = os.environ.get("PULUMI_COMMAND_STDOUT", "")
    before = Wanted(**json.loads(printed)) if printed else None
    uri = os.environ["GATEHOUSE_URI"]
    try:
        found = hypervisor_from(
            _told(uri, "nodeinfo"), _told(uri, "domstats", "--balloon", "--list-running")
        )
    except (subprocess.SubprocessError, ValueError) as error:
        told = getattr(error, "stderr", None) or error
        print(f"farm.hypervisors.0.uri: cannot read {uri}'s memory: {told}", file=sys.stderr)
        return 1
    problem = shortage(wanted, before, found)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(asdict(wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
