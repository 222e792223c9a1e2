"""Who has asked for a join, and whether the answer arrives.

An answer that nobody takes is a failed command for Pulumi: SSH was lost, or the command was killed.
So the command prints the answer, says that it has, and ends well once the daemon has noted that.
"""

import contextlib
import json
import select
import socket
from io import BufferedIOBase

GONE = "does not join: the command that asked for it is gone"
ASKS_TO_TAKE = "take"
"""The last word of a request whose asker says ``TAKEN``."""
TAKEN = b"taken\n"
_TAKE_SECONDS = 30.0
"""For the asker to print the answer; it may have been stopped."""


class Asker:
    """One who waits, and takes each answer."""

    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return False

    def takes(self, said: str) -> bool:
        """Give the answer, and return whether it has arrived."""
        del said
        return True


PRESENT = Asker()


class Connected(Asker):
    """A command on this VM, over the daemon's socket."""

    def __init__(
        self, connection: socket.socket, reader: BufferedIOBase, *, confirms: bool
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._confirms = confirms
        """Whether it says that it has taken the answer; an older one does not."""

    def gone(self) -> bool:
        """Whether it has closed the connection."""
        readable = select.poll()
        readable.register(self._connection, select.POLLIN)
        if not readable.poll(0):
            return False
        with contextlib.suppress(OSError):
            return not self._connection.recv(1, socket.MSG_PEEK)
        return True

    def takes(self, said: str) -> bool:
        """Give the answer, and wait until it says that it has printed it."""
        if not self._confirms:
            return not self.gone()
        try:
            self._connection.sendall(json.dumps({"said": said, "confirm": True}).encode() + b"\n")
            self._connection.settimeout(_TAKE_SECONDS)
            return self._reader.readline() == TAKEN
        except OSError:
            return False
