"""What a test's own thread prints."""

import contextlib
import io
import sys
import threading
from collections.abc import Iterator


class _OwnThread(io.StringIO):
    """Keeps what the thread that made it prints; other threads print where they did before."""

    def __init__(self) -> None:
        super().__init__()
        self._owner, self._before = threading.get_ident(), sys.stdout

    def write(self, text: str) -> int:
        if threading.get_ident() == self._owner:
            return super().write(text)
        return self._before.write(text)


@contextlib.contextmanager
def own_prints() -> Iterator[io.StringIO]:
    """Yield what this thread prints meanwhile; threads that other tests left print too."""
    with contextlib.redirect_stdout(_OwnThread()) as printed:
        yield printed
