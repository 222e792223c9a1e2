"""Ends a preview or an update that would delete data, before anything is registered."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor

from components.config.models.stack import Stack
from components.data import guard, inventory, recreated, state
from components.vm.made import Made


class DataError(pulumi.RunError):
    """Data would be deleted; ``problems`` holds one ``path: what (got what)`` each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"this would delete data; nothing was changed:\n{lines}")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The check's results for the VMs."""

    made: Mapping[str, Made]
    """What each VM is made of: for those that stay, the older values."""
    before: Mapping[str, Made]
    """What each VM was made of until now."""
    data: Mapping[str, tuple[dict[str, Any], ...]]
    """The record of the data on each VM, for its outputs."""
    stays: frozenset[str]
    """The VMs that keep an older first-boot text."""
    protected: frozenset[str]
    """The VMs that the engine protects."""
    image: bool
    """Whether the engine protects the image."""
    without_disk: frozenset[str]
    """The VMs whose disk has vanished, so that their seed disk is replaced."""
    warnings: tuple[str, ...]
    kept: Mapping[str, recreated.MustStay]
    """The volumes and disks that have to stay, by the names of their resources."""
    resources: Mapping[str, Any]
    """The type and outputs of each resource in the state, by its URN."""


def check(stack: Stack, placement: Mapping[str, Mapping[str, int]]) -> Checked:
    """Compare the config with the state.

    Raises:
        DataError: The update would delete data without `expendable: true`.
    """
    checked = compared(resources(), stack, pulumi.get_stack(), placement)
    for warning in checked.warnings:
        pulumi.warn(warning)
    return checked


def compared(
    resources: Mapping[str, Any],
    stack: Stack,
    name: str,
    placement: Mapping[str, Mapping[str, int]],
) -> Checked:
    """Compare a config with a state.

    Args:
        resources: The type and outputs of each resource in the state, by its URN.
        stack: The config.
        name: The stack's name.
        placement: How many containers each VM runs, by service.

    Raises:
        DataError: The update would delete data without `expendable: true`.
    """
    wanted = inventory.wanted(stack, name, placement)
    before = state.kept(resources, stack.farm)
    problems = guard.problems(before, wanted, stack)
    if problems:
        raise DataError(problems)
    stays = guard.stays(before, wanted)
    replaced = guard.replaced(before, wanted)
    with_data = {each.vm for each in before.volumes} & before.vms.keys()
    made = {
        vm: dataclasses.replace(each, holds=before.vms[vm].holds if vm in with_data else "")
        for vm, each in {**wanted.vms, **stays}.items()
    }
    return Checked(
        made=made,
        before=before.vms,
        data=inventory.kept_of_vm(before, wanted),
        stays=frozenset(stays),
        protected=wanted.data - replaced,
        image=guard.needs_image(before, wanted),
        without_disk=before.without_disk,
        kept=recreated.kept(before, wanted, resources),
        resources=resources,
        warnings=(
            *(
                f"{vm} keeps the first-boot text of an older version of Gatehouse, because a newer"
                " one would replace the VM, which holds data"
                for vm in stays
            ),
            *guard.disks_again(before, wanted),
            *guard.made_again(before, wanted),
            *(
                f"{vm} is replaced, and Pulumi protects the new VM's data only from the next update"
                " on: run `pulumi up` again after this one"
                for vm in sorted(replaced & wanted.data)
            ),
        ),
    )


def resources() -> Mapping[str, Any]:
    """Return the type and outputs of all resources in the stack's state, by their URN."""
    stack = pulumi.get_stack()
    if pulumi.get_organization() not in (None, "organization"):  # a back end that has some
        stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
        # The CLI (3.260) crashes when it is asked for the resources of a stack without a state,
        # which `pulumi stack init` makes on other back ends alone. Outputs it has none of then.
        if not _told("readStackOutputs", name=stack):
            return {}
    return _told("readStackResourceOutputs", stackName=stack)


def _told(function: str, **arguments: str) -> Mapping[str, Any]:
    """Ask the engine, and wait for the answer.

    Not with the SDK's own invoke, which waits in a second event loop within the first: the rest of
    the run then has been seen to wait for ever, once in some ten runs under load.
    """
    request = resource_pb2.ResourceInvokeRequest(tok=f"pulumi:pulumi:{function}")
    request.args.update(arguments)
    monitor = get_monitor()
    if monitor is None:
        raise pulumi.RunError("the program runs under Pulumi only")
    answer = monitor.Invoke(request)
    told, _ = rpc.deserialize_properties_unwrap_secrets(getattr(answer, "return"))
    outputs: Mapping[str, Any] = told["outputs"]
    return outputs
