"""A terminal in which a person runs commands, reads their output and answers questions."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78]|\r"
)
_SETTLED_SECONDS = 0.3
"""A menu takes keys only once it is drawn."""


@dataclass(frozen=True)
class TypedAnswer:
    """The keys to type once a text is shown; only once, because menus redraw their question."""

    shown: str
    typed: str


PASSPHRASE = "three words' worth"  # noqa: S105 - of stacks that only tests have
ENTERED = (
    TypedAnswer("Enter your passphrase to protect", f"{PASSPHRASE}\n"),
    TypedAnswer("Re-enter your passphrase", f"{PASSPHRASE}\n"),
    TypedAnswer("Enter your passphrase to unlock", f"{PASSPHRASE}\n"),
    TypedAnswer("Enter the passphrase of the stack", f"{PASSPHRASE}\n"),
)
SKIP = (TypedAnswer("What would you like to do?", "Skip\n"),)
CERTAIN = tuple(
    TypedAnswer(f"by typing `{stack}`", f"{stack}\n") for stack in ("prod", "test", "lab")
)
YES = (TypedAnswer("Do you want to perform this", "yes\n"), TypedAnswer("Go on? [y/N]", "y\n"))
PASSWORD = (
    TypedAnswer("Password:", "hunter2hunter2\n"),
    TypedAnswer("Verifying", "hunter2hunter2\n"),
)


def typed(
    command: str,
    folder: Path,
    environment: Mapping[str, str],
    answers: Sequence[TypedAnswer] = (*ENTERED, *PASSWORD, *SKIP, *CERTAIN, *YES),
    seconds: float = 900,
    enter: Sequence[str] = (),
) -> tuple[int, str]:
    """Run a command in a shell in a terminal, and return its exit code and what it showed.

    Args:
        command: The command, as a person types it.
        folder: The working directory.
        environment: The variables.
        answers: The answers to questions.
        seconds: The time limit.
        enter: A command that runs the shell elsewhere.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *enter, "bash", "-c", command],
        cwd=folder,
        env={**environment, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
    os.close(slave)
    deadline = time.monotonic() + seconds
    text, left = "", list(answers)
    try:
        while time.monotonic() < deadline:
            ready = select.select([master], [], [], _SETTLED_SECONDS)[0]
            if ready:
                try:
                    chunk = os.read(master, 65536)
                except OSError:  # the other end is closed
                    break
                text += _CONTROL.sub("", chunk.decode(errors="replace"))
                continue
            for answer in left:
                if answer.shown in text:
                    left.remove(answer)
                    for key in answer.typed:
                        os.write(master, key.encode().replace(b"\n", b"\r"))
                        time.sleep(0.02)
                    break
        else:
            raise AssertionError(f"{command}: no end within {seconds} s:\n{text}")
        return process.wait(30), text
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
