"""A restart of the agent on a fake VM."""

from pathlib import Path

from tests.support.virtual import Vm, new_agent


def restart_agent(vm: Vm, folder: Path) -> None:
    """Have another agent do all from now on."""
    old = vm.agent
    old.members._members.clear()  # so that it heeds no event and writes no file
    vm.agent = vm.server.agent = new_agent(folder)
    for each in vm.docker.containers:
        old.view.hide(each)
    with old.view.changed:
        old.view.describe("")  # so that Traefik asks the new one
