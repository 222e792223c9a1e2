"""The daemon, which systemd keeps running."""

import os
import threading
from pathlib import Path

from remote.vm_agent import kept, traefik_files
from remote.vm_agent.agent import Agent
from remote.vm_agent.control import Control
from remote.vm_agent.filtered_docker import FilteredDocker
from remote.vm_agent.server import UnixServer


def serve(folder: Path) -> None:
    """Run the daemon until a request to restart; systemd starts it again."""
    traefik = traefik_folder(folder)
    traefik_files.write_soon(folder)
    agent = Agent(folder)
    control = UnixServer(folder / "control.sock", Control, agent)
    docker = UnixServer(traefik / "docker.sock", FilteredDocker, agent)
    (traefik / "docker.sock").chmod(0o666)  # for Traefik, as its other files
    threading.Thread(target=agent.follower.follow, daemon=True).start()
    threading.Thread(target=docker.serve_forever, daemon=True).start()
    control.serve_forever()


def traefik_folder(folder: Path) -> Path:
    """Return the folder of the files and the socket that Traefik has, which is made if need be."""
    found = folder / "traefik"
    if os.path.lexists(found) and not found.is_dir():
        kept.move_aside(found)
    found.mkdir(exist_ok=True)
    return found
