"""The socket over which Gatehouse's commands ask the daemon."""

import json
import socket
import socketserver
import threading
from pathlib import Path

from remote.archive import VM_AGENT, version
from remote.vm_agent.errors import AgentError
from remote.vm_agent.polling import poll
from remote.vm_agent.server import UnixServer


class Control(socketserver.StreamRequestHandler):
    """One request of Gatehouse: a line of words; the answer is a JSON document."""

    server: UnixServer

    def handle(self) -> None:
        """Carry out the request, and answer with a text or an error."""
        line = self.rfile.readline().decode(errors="replace")
        what, *arguments = line.split() or [""]
        try:
            answer = {"said": self._do(what, arguments)}
        except (AgentError, OSError) as error:
            answer = {"error": str(error)}
        except Exception as odd:  # otherwise it would look as if the agent had ended
            answer = {"error": f"{line.strip()}: {odd!r}"}
        self.wfile.write(json.dumps(answer).encode())

    def _do(self, what: str, arguments: list[str]) -> str:
        agent = self.server.agent
        if what == "version":
            return version(VM_AGENT)
        if what == "restart":
            threading.Thread(target=self.server.shutdown, daemon=True).start()
            return ""
        if what == "join":
            return agent.join(arguments[0], float(arguments[1]), _printed(arguments) or "")
        if what == "leave":
            return agent.leave(arguments[0], float(arguments[1]), _printed(arguments))
        if what == "evacuate":
            return agent.evacuate(float(arguments[0]))
        raise AgentError(f"{what}: unknown request")


def _printed(arguments: list[str]) -> str | None:
    """Return the output of an earlier join; None from a state that is older than marks."""
    return arguments[2].removeprefix("mark=") if arguments[2:] else None


def ask(folder: Path, *words: str) -> str:
    """Send a request to the daemon, and return its answer.

    Raises:
        AgentError: The daemon's error.
        OSError: It does not answer.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "control.sock"))
        connection.sendall(" ".join(words).encode() + b"\n")
        with connection.makefile() as reader:
            text = reader.read()
    if not text:
        raise OSError("the agent ended before it answered")
    answer: dict[str, str] = json.loads(text)
    if "error" in answer:
        raise AgentError(answer["error"])
    return answer["said"]


def await_deployed(folder: Path, seconds: float) -> None:
    """Wait until the running daemon is this program; ask another version of it to restart.

    Raises:
        AgentError: It does not run in time.
    """

    def runs() -> bool:
        try:
            if ask(folder, "version") == version(VM_AGENT):
                return True
            ask(folder, "restart")
        except OSError:
            pass  # not started yet, or in between
        return False

    if not poll(runs, seconds):
        raise AgentError(
            f"the agent does not run after {seconds:.0f} s; see `journalctl -u gatehouse-agent` on"
            f" {socket.gethostname()}"
        )
