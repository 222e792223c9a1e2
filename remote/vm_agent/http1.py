"""A health check over HTTP/1.1, and the limit of time for any check."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

READ = 65_536  # bytes of an answer to a check


@contextlib.contextmanager
def cut_after(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """End a connection after a time: its own timeout begins again with each byte that arrives.

    Gives the event that it was ended.

    Raises:
        TimeoutError: It was ended, and what was done with it failed.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        with contextlib.suppress(OSError):  # it has ended
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield over
    except (OSError, http.client.HTTPException):
        if over.is_set():
            raise TimeoutError("timed out") from None
        raise
    finally:
        timer.cancel()


def http1_status(server: tuple[str, int], host: str, path: str, timeout: float) -> int:
    """Return the status of the answer to a GET.

    Raises:
        OSError, http.client.HTTPException: There is none.
    """
    connection = http.client.HTTPConnection(*server, timeout=timeout)
    try:
        connection.connect()
        with cut_after(connection.sock, timeout) as over:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            if over.is_set():  # its header looks as if it had ended
                raise TimeoutError
            if answer.length and answer.length <= READ:
                # Otherwise the application would see a reset connection.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    answer.read()
            return answer.status
    finally:
        connection.close()
