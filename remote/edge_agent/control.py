"""Questions to HAProxy on its control sockets.

"Does not run" and "does not answer" are kept apart: an unknown state must not pass for a known one.
"""

import socket
from pathlib import Path

from remote.edge_agent.system import EdgeError

SECONDS = 10.0
"""Seconds that an answer may take."""


class NoAnswerError(EdgeError):
    """HAProxy runs, but does not answer in time."""


def ask(path: Path, command: str, seconds: float | None = None) -> str | None:
    """Return HAProxy's answer on one of its control sockets, or None if nothing listens there.

    Args:
        path: The socket.
        command: A command from HAProxy's management guide.
        seconds: How long each part of the answer may take; ``SECONDS`` if not given.

    Raises:
        NoAnswerError: HAProxy does not answer in time.
    """
    within = SECONDS if seconds is None else seconds
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within)
            connection.connect(str(path))
            connection.sendall(f"{command}\n".encode())
            connection.shutdown(socket.SHUT_WR)  # otherwise the master waits for more
            answer = b""
            while data := connection.recv(65536):
                answer += data
            return answer.decode(errors="replace")
    except TimeoutError:
        first = command.partition("\n")[0]
        raise NoAnswerError(
            f"HAProxy does not answer `{first}` on {path} within {within:g} s; look at its log and"
            " at the load of the machine, and run this again"
        ) from None
    except OSError:  # no socket or no listener, or the listener has ended meanwhile
        return None
