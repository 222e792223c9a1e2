"""Shares of the VM that a container gets, beside those that Docker's provider can set."""

import subprocess
from pathlib import Path

from remote.names import PIDS_LABEL
from remote.vm_agent import docker
from remote.vm_agent.container import Container
from remote.vm_agent.errors import AgentError

SERVING_WEIGHT = 400
"""CPU shares of a serving container. Docker itself, and containers that start, have 100: on a
busy VM, serving comes first, but Docker still gets the time to take the containers' logs.
"""


def limit(container: Container) -> None:
    """Give a container its limit of processes and threads, which Docker's provider cannot.

    Until then it has systemd's, 15 % of all that the VM has room for.
    """
    pids = int(container.labels.get(PIDS_LABEL, "0"))
    if pids:
        status, body = docker.ask(f"/containers/{container.id}/update", {"PidsLimit": pids})
        if status != 200:
            raise AgentError(f"does not get its limit of {pids} processes: {body.decode()}")


def prefer(container: Container) -> None:
    """Give a serving container its share of the processors, by the weight of its scope."""
    scope = f"docker-{container.id}.scope"
    try:
        if scope not in Path(f"/proc/{container.pid}/cgroup").read_text():
            print(
                f"container {container.id[:12]} is not in {scope}: no preference for it", flush=True
            )
            return
        subprocess.run(
            (
                *("sudo", "--non-interactive", "systemctl", "set-property", "--runtime"),
                *(scope, f"CPUWeight={SERVING_WEIGHT}"),
            ),
            check=False,
        )
    except OSError as error:  # it has ended
        print(f"container {container.id[:12]} gets no preference: {error}", flush=True)
