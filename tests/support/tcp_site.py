"""An edge with one TCP service, and its VMs: the real HAProxy, Traefik and agent."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from components.config.models.edge import Edge as EdgeConfig
from components.config.models.edge import Stats
from components.config.models.service import tcp_name
from components.edge.backends import Server, TcpBackend
from components.edge.haproxy import render
from remote.edge_agent import timer
from remote.edge_agent.bundle import pack
from remote.edge_agent.system import poll
from remote.vm_agent import control
from tests.support.agent_program import agent_program
from tests.support.edge_driver import PORT, SERVER_PORT, STATS_PORT, Edge
from tests.support.virtual import TCP, Docker, TcpApp, Traefik

TCP_PORT = SERVER_PORT
FIRST_PORT = 22_000  # of containers; below those that connections take for themselves
VMS = ("web-0", "web-1", "web-2")


class Vm:
    """A fake VM: the agent as a separate process, and threads as containers."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir()
        self.name, self.folder = name, folder
        self.docker = Docker(folder / "docker.sock")
        (folder / "agent.py").write_bytes(agent_program(folder / "docker.sock"))
        command = (sys.executable, folder / "agent.py", "serve", folder)
        with (folder / "agent.log").open("w") as log:
            self._agent = subprocess.Popen(command, stdout=log, stderr=log)
        assert poll((folder / "traefik" / "docker.sock").exists, 30)
        self.traefik = Traefik(self.docker, folder)
        assert poll(self.traefik.runs, 60)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.traefik.web}"

    def join(self, app: TcpApp) -> None:
        control.ask(self.folder, "join", app.id, "60")

    def leave(self, app: TcpApp) -> str:
        return control.ask(self.folder, "leave", app.id, "60")

    def close(self) -> None:
        for process in (self.traefik.process, self._agent):
            process.kill()
            process.wait()


class TcpEdge(Edge):
    """An edge with one TCP service, on VMs by name."""

    idle_timeout = 60

    def text(self, servers: dict[str, str]) -> str:
        backend = TcpBackend(
            name=TCP,
            port=TCP_PORT,
            known_as=tcp_name(TCP),
            idle_timeout=self.idle_timeout,
            check_timeout=5,
            servers=tuple(
                Server(name=name, address=address, weight=1) for name, address in servers.items()
            ),
        )
        config = EdgeConfig(bind="127.0.0.1", port=PORT, stats=Stats(port=STATS_PORT))
        return pack(render([backend], config, str(self.instance.folder)))


class Site:
    """An edge and its VMs."""

    def __init__(self, folder: Path) -> None:
        self.edge = TcpEdge(folder / "edge")
        self.vms = {name: Vm(name, folder / name) for name in VMS}
        self._numbers = iter(range(1, 250))
        self._apps: list[TcpApp] = []
        self.left: list[tuple[TcpApp, float]] = []
        """Containers that were stopped, and since when they should have been quiet."""

    def app(self, vm: str, **changes: Any) -> TcpApp:
        """Start a container that joins; of another port than the others, by which it is counted."""
        number = next(self._numbers)
        app = TcpApp(self.vms[vm].docker, number, FIRST_PORT + number, **changes)
        self._apps.append(app)
        self.vms[vm].join(app)
        return app

    def stop(self, vm: str, app: TcpApp) -> None:
        """Have a container leave, and stop it."""
        said = self.vms[vm].leave(app)
        assert said.startswith("nothing in flight after"), said
        self.left.append((app, time.monotonic()))
        app.die()
        self.vms[vm].docker.happens("die", app)

    def pool(self, *vms: str) -> None:
        """Have the edge use exactly these VMs."""
        self.edge.apply({vm: self.vms[vm].address for vm in vms})

    def close(self) -> None:
        timer.stop(self.edge.instance)
        self.edge.instance.stop()
        for vm in self.vms.values():
            vm.close()
        for app in self._apps:
            app.die()
