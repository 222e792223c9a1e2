"""A model of Pulumi's engine: what its operations do to the state and to data.

It has the state as the program reads it, the files on the disks, and the operations that people
run. `Model.lost` has the files that were deleted although they were not expendable.
"""

from dataclasses import dataclass, field
from typing import Any

from components.config.loading import parse
from components.config.models.stack import Stack
from components.data import inventory
from components.data.check import Checked, DataError, compared
from components.placement import allowed, on_vm, slots, spread, vm_names, volume_name
from components.vm.digest import digest
from components.vm.made import record

VM, SERVICE, EDGE = "gatehouse:vm:Vm", "gatehouse:service:Service", "gatehouse:edge:Edge"
MOUNTED = "gatehouse:data:Mounted"
DISK, DOMAIN = "libvirt:index/volume:Volume", "libvirt:index/domain:Domain"
VOLUME, CONTAINER = "docker:index/volume:Volume", "docker:index/container:Container"
COMMAND = "command:local:Command"

STEPS = ("vms", "booted", "volumes", "containers", "joined", "done")
"""How far an update comes before it fails; ``done`` does not fail."""

File = tuple[str, str, str, str, str]
"""VM, service, place, name or folder, and the disk that it is on."""


@dataclass
class Resource:
    """One resource in the state."""

    outputs: dict[str, Any] = field(default_factory=dict)
    protect: bool = False
    generation: str = ""
    vm: str = ""
    """The VM that it is on."""


def placed(stack: Stack) -> dict[str, dict[str, int]]:
    """Return how many containers of each service each VM runs."""
    names = vm_names(stack.farm.name, stack.farm.vms)
    return {
        name: spread(service.replicas, allowed(service.placement.vms, names))
        for name, service in stack.services.items()
    }


def words(raw: dict[str, Any]) -> dict[tuple[str, str, str], bool]:
    """Return whether a config gives up each of its volumes."""
    found: dict[tuple[str, str, str], bool] = {}
    for name, service in raw["services"].items():
        for each in service["volumes"]:
            kind = "name" if "name" in each else "host"
            key = (name, kind, each[kind])
            found[key] = found.get(key, True) and each["expendable"]
    return found


class Model:
    """A stack, and what it made."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, str], Resource] = {}
        self.files: set[File] = set()
        self.lost: set[File] = set()
        self.warned: list[str] = []
        self._doomed: list[tuple[str, str]] = []
        self._made = 0
        self._last: dict[tuple[str, str, str], bool] = {}

    def resources(self) -> dict[str, Any]:
        """Return the state as the program reads it."""
        return {
            f"urn:pulumi:test::gatehouse::some${kind}::{name}": {
                "type": kind,
                "outputs": resource.outputs,
            }
            for (kind, name), resource in self.state.items()
        }

    def up(self, raw: dict[str, Any], until: str = "done") -> bool:
        """Update the stack; return whether that was let in, by the program and the engine.

        Args:
            raw: The config.
            until: How far it comes.
        """
        stack = parse(raw)
        try:
            checked = compared(self.resources(), stack, "test", placed(stack))
        except DataError:
            return False
        generations = {
            vm: made.generation or digest(dict(made.reasons), made.text)
            for vm, made in checked.made.items()
        }
        if self._refuses(stack, checked, generations):
            return False
        self.warned = list(checked.warnings)
        words_now = words(raw)
        self._carry_out(stack, checked, generations, words_now, STEPS.index(until))
        self._last = words_now
        return True

    def _refuses(self, stack: Stack, checked: Checked, generations: dict[str, str]) -> bool:
        """Whether the engine refuses to delete or to replace what is protected."""
        names = self._wanted_volumes(stack)
        for (kind, name), resource in self.state.items():
            if not resource.protect:
                continue
            if kind == VOLUME and name not in names:
                return True
            if kind in (DISK, DOMAIN):
                gone = resource.vm not in generations
                other = not gone and resource.generation != generations[resource.vm]
                if gone or (other and resource.vm in checked.protected):
                    return True
        return False

    def _wanted_volumes(self, stack: Stack) -> dict[str, inventory.Held]:
        return {
            volume_name(name, vm, held.what): held
            for name, counts in placed(stack).items()
            for vm in counts
            for held in inventory.volumes_of(name, stack.services[name], vm)
            if held.place == "name"
        }

    def _carry_out(
        self,
        stack: Stack,
        checked: Checked,
        generations: dict[str, str],
        given_up: dict[tuple[str, str, str], bool],
        steps: int,
    ) -> None:
        for name, service in stack.services.items():
            outputs = inventory.kept_of_service(service, name, placed(stack)[name])
            self.state[SERVICE, name] = Resource(outputs=outputs)
        self.state.setdefault((EDGE, "edge"), Resource())
        for vm in generations:
            self._make_vm(vm, checked, generations[vm])
        if steps >= STEPS.index("booted"):
            for vm in generations:
                triggers = [self.state[DOMAIN, f"{vm}-domain"].outputs["id"]]
                self.state[COMMAND, f"{vm}-boot"] = Resource({"triggers": triggers}, vm=vm)
        if steps >= STEPS.index("volumes"):
            for name, held in self._wanted_volumes(stack).items():
                self.state[VOLUME, name] = Resource(protect=not held.expendable, vm=held.vm)
        self._run(stack, steps)
        if steps < STEPS.index("done"):
            return
        disks = {vm: self.state[DISK, f"{vm}-disk"].outputs["name"] for vm in generations}
        self.state[EDGE, "edge"] = Resource(outputs={"disks": disks})
        self._clean_up(stack, generations, given_up)

    def _make_vm(self, vm: str, checked: Checked, generation: str) -> None:
        disk, domain = (
            self.state.get((DISK, f"{vm}-disk")),
            self.state.get((DOMAIN, f"{vm}-domain")),
        )
        protect = vm in checked.protected
        if disk is None or domain is None or domain.generation != generation:
            if disk is not None and domain is not None:
                self._doomed.append((vm, str(disk.outputs["name"])))
            self._made += 1
            disk = Resource({"name": f"{vm}-disk-{self._made}"}, vm=vm)
            domain = Resource({"id": f"{vm}-{self._made}"}, vm=vm)
            self.state[DISK, f"{vm}-disk"] = disk
            self.state[DOMAIN, f"{vm}-domain"] = domain
        for each in (disk, domain):
            each.protect, each.generation = protect, generation
        names = str(disk.outputs["name"]), str(domain.outputs["id"])
        known = record(checked.made[vm], checked.before.get(vm), generation, *names)
        self.state[VM, vm] = Resource(
            {"made": known, "domain": names[1], "data": list(checked.data.get(vm, ()))}, vm=vm
        )

    def _run(self, stack: Stack, steps: int) -> None:
        for name, counts in placed(stack).items():
            for slot in slots(name, counts):
                disk = str(self.state[DISK, f"{slot.vm}-disk"].outputs["name"])
                helds = inventory.volumes_of(name, stack.services[name], slot.vm)
                if steps >= STEPS.index("containers"):
                    self.state[CONTAINER, slot.name] = Resource(vm=slot.vm)
                    self.files |= {(slot.vm, *held.key, disk) for held in helds}
                    volumes = [[slot.vm, *held.key] for held in helds]
                    self.state[MOUNTED, slot.name] = Resource(
                        {"disk": disk, "volumes": volumes}, vm=slot.vm
                    )
                if steps >= STEPS.index("joined"):
                    self.state[COMMAND, f"{slot.name}-serving"] = Resource(vm=slot.vm)

    def _clean_up(
        self,
        stack: Stack,
        generations: dict[str, str],
        given_up: dict[tuple[str, str, str], bool],
    ) -> None:
        """Delete what is not in the config any more, and what was replaced."""
        running = {slot.name for name, each in placed(stack).items() for slot in slots(name, each)}
        volumes = self._wanted_volumes(stack)
        for kind, name in list(self.state):
            vm = self.state[kind, name].vm
            slot = name.removesuffix("-serving")
            if (
                (vm and vm not in generations)
                or (kind == SERVICE and name not in stack.services)
                or (kind in (CONTAINER, MOUNTED) and name not in running)
                or (kind == COMMAND and name.endswith("-serving") and slot not in running)
            ):
                if kind == DISK:
                    self._doomed.append((vm, str(self.state[kind, name].outputs["name"])))
                del self.state[kind, name]
            elif kind == VOLUME and name not in volumes:
                self._delete({each for each in self.files if _is(each, name)}, given_up)
                del self.state[kind, name]
        for vm, disk in self._doomed:
            self._delete(
                {each for each in self.files if (each[0], each[4]) == (vm, disk)}, given_up
            )
        self._doomed = []

    def _delete(self, files: set[File], given_up: dict[tuple[str, str, str], bool]) -> None:
        self.files -= files
        for each in files:
            key = (each[1], each[2], each[3])
            if not given_up.get(key, self._last.get(key, True)):
                self.lost.add(each)

    # What people do to the state.

    def forget(self, kind: str, part: str) -> None:
        """Drop resources of a type whose names have some part: a refresh, or `state delete`."""
        for key in [each for each in self.state if each[0] == kind and part in each[1]]:
            del self.state[key]

    def rename(self, kind: str, name: str) -> None:
        """Give a resource another name: `state rename`."""
        if (kind, name) in self.state:
            self.state[kind, f"{name}x"] = self.state.pop((kind, name))

    def destroy_what_is_not_protected(self) -> None:
        """Carry out `pulumi destroy --exclude-protected`; not before a second update if asked."""
        if any("run `pulumi up` again after this one" in each for each in self.warned):
            return
        kept = {key for key, each in self.state.items() if each.protect}
        vms = {self.state[key].vm for key in kept}
        services = {name for _, name in self.state if _ == SERVICE}
        parents = {(VM, vm) for vm in vms} | {
            (SERVICE, name)
            for name in services
            for kind, volume in kept
            if kind == VOLUME and any(volume.startswith(f"{on_vm(name, vm)}-") for vm in vms)
        }
        for key in list(self.state):
            if key in kept | parents:
                continue
            resource = self.state.pop(key)
            if key[0] == DISK:
                disk = str(resource.outputs["name"])
                self._delete({e for e in self.files if (e[0], e[4]) == (resource.vm, disk)}, {})
            if key[0] == VOLUME:
                self._delete({each for each in self.files if _is(each, key[1])}, {})


def _is(file: File, volume: str) -> bool:
    vm, service, place, what, _ = file
    return place == "name" and volume_name(service, vm, what) == volume
