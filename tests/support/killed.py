"""Runs of the edge agent that are killed before one change of a file, a program or HAProxy."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from remote.edge_agent import instance
from remote.edge_agent.__main__ import main
from remote.edge_agent.control import ask
from remote.edge_agent.seal import sealed

_CHANGES = frozenset(
    f"os.{each}"
    for each in ("rename", "remove", "mkdir", "rmdir", "link", "symlink", "chmod", "truncate")
) | {"subprocess.Popen", "os.kill", "os.killpg", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Steps:
    """Counts what is about to change something, and ends this process at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last
        sys.addaudithook(self._audit)

        def asked(path: Path, command: str) -> str | None:
            if command.removeprefix("@1 ").startswith("show "):
                return ask(path, command)
            self._step()
            answer = ask(path, command)
            self._step()
            return answer

        mock.patch.object(instance, "ask", asked).start()

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        flags = arguments[2] if event == "open" else 0
        if event in _CHANGES or (isinstance(flags, int) and flags & _WRITING):
            self._step()

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, arguments: Sequence[str], text: str = "") -> bool:
    """Run the edge agent in a process that is killed before a step; return whether it came to that.

    Raises:
        AssertionError: It ended before, and not well.
    """
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            sys.stdin = io.TextIOWrapper(io.BytesIO(sealed(text).encode()))
            _Steps(step)
            os._exit(main(arguments))
        os._exit(70)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}, f"{arguments[0]} ends with {code} before step {step}"
    return code != 0
