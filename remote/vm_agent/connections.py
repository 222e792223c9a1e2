"""The connections to a container, by which it is known to have requests in flight."""

import time
from collections.abc import Callable
from pathlib import Path

from remote.vm_agent import polling

# States of the kernel's net/tcp_states.h, as in proc_pid_net(5). A client of HTTP waits for its
# answer with both halves open; others may have ended theirs, and the container has not.
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT = "01", "04", "05", "08"
_LAST_ACK, _CLOSING = "09", "0B"
_IN_FLIGHT = {"http": {_ESTABLISHED}, "tcp": {_ESTABLISHED, _CLOSE_WAIT}}
_HALF_ENDED = {"tcp": {_FIN_WAIT1, _FIN_WAIT2}}
"""The container has ended its half, and reads on if it still has the socket."""
_LAST_DATA = {_FIN_WAIT1, _LAST_ACK, _CLOSING}
"""The container may have closed it, and the kernel still sends what it has written."""
_INODE = 4  # its place after the queues
_QUIET_SECONDS = 1.5
"""No connection for so long means no request: Traefik keeps idle ones for 1 s."""


def is_connection(line: str, port: int, kind: str = "http") -> bool:
    """Whether a line of /proc/PID/net/tcp is a connection to the local ``port``, not done yet."""
    _, local, _, state, queues, *more = line.split()
    inode = more[_INODE] if len(more) > _INODE else "0"
    if int(local.rpartition(":")[2], 16) != port:
        return False
    unsent = int(queues.partition(":")[0], 16) > 0
    return (
        state in _IN_FLIGHT[kind]
        or (state in _HALF_ENDED.get(kind, ()) and inode != "0")
        or (state in _LAST_DATA and unsent)
    )


def count(pid: int, port: int, kind: str) -> int:
    """Return the number of connections to a local port in a process's network namespace."""
    found = 0
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except PermissionError:
            raise  # or it would look as if there were none
        except OSError:
            continue  # it has ended
        found += sum(is_connection(line, port, kind) for line in lines)
    return found


def await_quiet(in_flight: Callable[[], int], grace: float) -> str:
    """Wait until nothing is in flight or the time, in seconds, is over."""
    began = quiet_since = time.monotonic()
    while True:
        now = time.monotonic()
        open_now = in_flight()
        if open_now:
            quiet_since = now
        if now - quiet_since >= _QUIET_SECONDS:
            return f"nothing in flight after {now - began:.1f} s"
        if now - began > grace + _QUIET_SECONDS:
            return f"{open_now} connections are still open after {grace:.0f} s and will be cut"
        polling.pause()
