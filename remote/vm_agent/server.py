"""A server on a Unix socket."""

import socketserver
from pathlib import Path

from remote.vm_agent.agent import Agent
from remote.vm_agent.kept import move_aside


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves an agent on a socket that takes the place of an older one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, handler: type[socketserver.BaseRequestHandler], agent: Agent):
        path.parent.mkdir(exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            move_aside(path)
        path.unlink(missing_ok=True)
        super().__init__(str(path), handler)
        self.agent = agent
