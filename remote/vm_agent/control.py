"""The socket over which Gatehouse's commands ask the daemon."""

import contextlib
import json
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote.archive import VM_AGENT, version
from remote.vm_agent.asker import ASKS_TO_TAKE, TAKEN, Asker, Connected
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
        confirms = arguments[-1:] == [ASKS_TO_TAKE]
        if confirms:
            del arguments[-1]
        asker = Connected(self.connection, self.rfile, confirms=confirms)
        try:
            answer = {"said": self._do(what, arguments, asker)}
        except (AgentError, OSError) as error:
            answer = {"error": str(error)}
        except Exception as odd:  # otherwise it would look as if the agent had ended
            answer = {"error": f"{line.strip()}: {odd!r}"}
        with contextlib.suppress(OSError):  # nobody waits for it any more
            self.wfile.write(json.dumps(answer).encode())

    def _do(self, what: str, arguments: list[str], asker: Asker) -> str:
        agent = self.server.agent
        if what == "version":
            return version(VM_AGENT)
        if what == "restart":
            threading.Thread(target=self.server.shutdown, daemon=True).start()
            return ""
        if what == "join":
            container, seconds = arguments[0], float(arguments[1])
            return agent.join(container, seconds, _printed(arguments) or "", asker)
        if what == "leave":
            return agent.leave(arguments[0], float(arguments[1]), _printed(arguments))
        if what == "evacuate":
            return agent.evacuate(float(arguments[0]))
        raise AgentError(f"{what}: unknown request")


def _printed(arguments: list[str]) -> str | None:
    """Return the output of an earlier join; None from a state that is older than marks."""
    return arguments[2].removeprefix("mark=") if arguments[2:] else None


def ask(folder: Path, *words: str, take: Callable[[str], None] | None = None) -> str:
    """Send a request to the daemon, and return its answer.

    Args:
        folder: The agent's.
        words: The request.
        take: For a join: prints the answer. The join counts once this has succeeded.

    Raises:
        AgentError: The daemon's error.
        OSError: It does not answer, or nobody reads what is printed.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "control.sock"))
        asked = words if take is None else (*words, ASKS_TO_TAKE)
        connection.sendall(" ".join(asked).encode() + b"\n")
        if take is not None:
            _await(connection)
        with connection.makefile("rb") as reader:
            answer = _answer(reader.readline())
            if take is not None:
                take(str(answer["said"]))
                if "confirm" in answer:
                    connection.sendall(TAKEN)
                    _answer(reader.readline())
    return str(answer["said"])


def _answer(line: bytes) -> dict[str, Any]:
    if not line:
        raise OSError("the agent ended before it answered")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise AgentError(answer["error"])
    return answer


def _await(connection: socket.socket) -> None:
    """Wait for the daemon, as long as somebody reads the standard output.

    sshd ends no command when its connection is lost, but closes that.

    Raises:
        OSError: Nobody does.
    """
    events = select.poll()
    events.register(connection, select.POLLIN)
    with contextlib.suppress(OSError, ValueError):  # it is no descriptor, or closed
        events.register(sys.stdout.fileno(), 0)
    if connection.fileno() not in dict(events.poll()):
        raise OSError("nobody reads the answer any more")


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
