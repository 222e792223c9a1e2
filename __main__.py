"""The whole graph: config, placement, VMs, hosts, services, edge, outputs."""

import pulumi

from components import again, outputs
from components.config import loading
from components.data.check import check
from components.data.recreated import watch
from components.edge.edge import Edge, EdgeArgs
from components.edge.source import sources
from components.host.container_vm import container_vm_spec, farm_generation
from components.host.host import ContainerHost, ContainerHostArgs
from components.placement import allowed, slots, spread, vm_names
from components.service.service import Service, ServiceArgs
from components.vm.farm import Farm, FarmArgs
from components.vm.ssh_sources import ssh_from
from components.vm.vm import Vm, VmArgs

outputs.limit()
stack, facts = loading.load()
names = vm_names(stack.farm.name, stack.farm.vms)
placement = {
    name: spread(service.replicas, allowed(service.placement.vms, names))
    for name, service in stack.services.items()
}
checked = check(stack, placement)
warn_of_failed_commands = again.watch(checked.resources)

farm = Farm(
    "farm",
    FarmArgs(
        config=stack.farm,
        ssh_from=ssh_from(stack.farm, facts.own_addresses),
        generation=lambda image: farm_generation(image, stack.farm),
        edge=stack.edge.vm,
        staying=len(checked.stays),
        protect=checked.image,
        keep_key=bool(checked.protected),
    ),
)
vms = {
    name: Vm(
        name,
        VmArgs(
            farm=farm,
            spec=container_vm_spec(stack.farm, name, index),
            made=checked.made[name],
            before=checked.before.get(name),
            data=checked.data.get(name, ()),
            stays=name in checked.stays,
            protect=name in checked.protected,
            seed_goes=name in checked.without_disk,
        ),
    )
    for index, name in enumerate(names)
}
hosts = {
    name: ContainerHost(
        f"{name}-host",
        ContainerHostArgs(vm=vm, registries=stack.registries, edge=sources(stack, facts)),
    )
    for name, vm in vms.items()
}
services = {
    name: Service(name, ServiceArgs(config=service, hosts=hosts, counts=placement[name]))
    for name, service in stack.services.items()
}
edge = Edge("edge", EdgeArgs(config=stack.edge, farm=farm, hosts=hosts, services=services))
warn_of_failed_commands()
watch(
    checked.kept,
    (
        *(vm.volume for vm in vms.values()),
        *(volume for service in services.values() for volume in service.volumes.values()),
    ),
)

pulumi.export("vms", {name: {"address": vm.address} for name, vm in vms.items()})
pulumi.export(
    "services",
    {
        name: {
            "url": service.url(stack.edge, edge.target.address),
            "containers": {
                vm: [slot.name for slot in slots(name, placement[name]) if slot.vm == vm]
                for vm in placement[name]
            },
        }
        for name, service in stack.services.items()
    },
)
pulumi.export("edge", {"address": edge.address, **edge.target.outputs})
pulumi.export("pools", edge.backends.apply(lambda backends: [each.summary for each in backends]))
