"""The daemon, which systemd keeps running."""

import threading
from pathlib import Path

from remote.vm_agent import traefik_files
from remote.vm_agent.agent import Agent
from remote.vm_agent.control import Control
from remote.vm_agent.filtered_docker import FilteredDocker
from remote.vm_agent.server import UnixServer


def serve(folder: Path) -> None:
    """Run the daemon until a request to restart; systemd starts it again."""
    (folder / "traefik").mkdir(exist_ok=True)
    agent = Agent(folder)
    traefik_files.write_soon(folder)
    control = UnixServer(folder / "control.sock", Control, agent)
    docker = UnixServer(folder / "traefik" / "docker.sock", FilteredDocker, agent)
    (folder / "traefik" / "docker.sock").chmod(0o666)  # for Traefik, as its other files
    threading.Thread(target=agent.follower.follow, daemon=True).start()
    threading.Thread(target=docker.serve_forever, daemon=True).start()
    control.serve_forever()
