"""The command provider: shell commands on this machine."""

from __future__ import annotations

import os
import secrets
import selectors
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lab.providers.handler import Call, Created, Handler, Package, Resource
from lab.providers.provider_errors import ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props

# The command and its children end with the plugin, so that none of a killed run's processes works
# beside the next run. Daemons have left the process group by then and stay.
_DIES_TOO = (
    *("setpriv", "--pdeathsig", "TERM", "--", "/bin/sh", "-c"),
    'trap "kill -KILL 0" TERM; exec 3<&0; "$@" <&3 3<&- & wait $!',
    "sh",
)
_LOGGED = {
    None: ("stdout", "stderr"),
    "stdout": ("stdout",),
    "stderr": ("stderr",),
    "stdoutAndStderr": ("stdout", "stderr"),
    "none": (),
}


class Shell:
    """This machine, and the commands that run on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._cancelled = False

    def cancel(self) -> None:
        """Kill all commands with all that they have started, and start no more."""
        with self._lock:
            self._cancelled = True
            for group in self._running:
                _kill_group(group)

    close = cancel

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @contextmanager
    def started(
        self, arguments: Sequence[str], **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in its own process group, all of which ends with the block.

        Raises:
            ProviderError: The provider was cancelled.
        """
        with self._lock:
            if self._cancelled:
                raise ProviderError("cancelled")
            process = subprocess.Popen(arguments, start_new_session=True, **options)
            self._running.add(process.pid)
        try:
            with process:
                try:
                    yield process
                except BaseException:
                    _kill_group(process.pid)
                    raise
        finally:
            with self._lock:
                self._running.discard(process.pid)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


class LocalCommand(Handler[Shell]):
    """`command:local:Command`."""

    schema = Schema(
        type="command:local:Command",
        inputs={
            "create": Effect.UPDATE,
            "update": Effect.UPDATE,
            "delete": Effect.UPDATE,
            "stdin": Effect.UPDATE,
            "environment.**": Effect.UPDATE,
            "logging": Effect.UPDATE,
            "addPreviousOutputInEnv": Effect.UPDATE,
            "triggers.**": Effect.REPLACE,
            "interpreter.**": Effect.UPDATE,
            "dir": Effect.UPDATE,
        },
        computed=frozenset({"stdout", "stderr"}),
    )

    def create(self, connection: Shell, call: Call) -> Created:
        """Run `create`."""
        outputs = self._run(connection, call, call.inputs.get("create"), {})
        return Created(f"{call.name}{secrets.token_hex(4)}", outputs)

    def update(self, connection: Shell, call: Call, old: Resource) -> Props:
        """Run `update`, or `create` where there is none."""
        script = call.inputs.get("update", call.inputs.get("create"))
        return self._run(connection, call, script, _printed(old))

    def delete(self, connection: Shell, call: Call, old: Resource) -> None:
        """Run `delete`, with the inputs of the last creation or update."""
        self._run(connection, call, call.inputs.get("delete"), _printed(old))

    def read(self, connection: Shell, resource: Resource) -> Resource | None:  # noqa: ARG002
        """Return the resource as it is in the state: the effects of a command cannot be read."""
        return resource

    def _run(self, shell: Shell, call: Call, script: str | None, previous: Props) -> Props:
        if script is None:
            return previous or {"stdout": "", "stderr": ""}
        environment = dict(call.inputs.get("environment", {}))
        if call.inputs.get("addPreviousOutputInEnv", True):
            for name in ("stdout", "stderr"):
                if previous.get(name):
                    environment[f"PULUMI_COMMAND_{name.upper()}"] = previous[name]
        interpreter = call.inputs.get("interpreter") or ["/bin/sh", "-c"]
        return _execute(shell, call, script, [*interpreter, script], {**os.environ, **environment})


def _execute(
    shell: Shell,
    call: Call,
    script: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> Props:
    """Run a command to its end and return what it printed.

    Raises:
        ProviderError: It ended with another code than 0, or not within the time limit.
    """
    printed: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    every: list[bytes] = []
    logged = _LOGGED[call.inputs.get("logging")]
    with tempfile.TemporaryFile() as stdin:
        # Now, because the command shares the file's position.
        stdin.write(call.inputs.get("stdin", "").encode())
        stdin.seek(0)
        with shell.started(
            (*_DIES_TOO, *arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=call.inputs.get("dir"),
            env=environment,
        ) as process:
            for name, line in _lines(process, call.timeout):
                printed[name].append(line)
                every.append(line)
                if name in logged:
                    call.say(line.decode(errors="replace").rstrip("\r\n"))
            code = process.wait()
    if code != 0:
        text = b"".join(every).decode(errors="replace").strip()
        why = "cancelled" if shell.cancelled else f"exit status {code}"
        raise ProviderError(f"{why}: running {_short(script)}:\n{text}")
    return {
        name: b"".join(chunks).decode(errors="replace").removesuffix("\n")
        for name, chunks in printed.items()
    }


def _lines(process: subprocess.Popen[bytes], timeout: float | None) -> Iterator[tuple[str, bytes]]:
    """Yield a process's output in whole lines, because Pulumi would not recognize half a secret."""
    deadline = None if timeout is None else time.monotonic() + timeout
    rest = {"stdout": b"", "stderr": b""}
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise ProviderError(f"stopped at its time limit of {timeout:.0f} s")
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                lines = (rest[key.data] + chunk).splitlines(keepends=True)
                begun = chunk and not lines[-1].endswith(b"\n")
                rest[key.data] = lines.pop() if begun else b""
                yield from ((key.data, line) for line in lines)


def _printed(old: Resource) -> Props:
    return {name: old.outputs.get(name, "") for name in ("stdout", "stderr")}


def _short(script: str) -> str:
    first = shlex.quote(script.strip().splitlines()[0] if script.strip() else script)
    return first if len(first) <= 100 else f"{first[:100]}…"


PACKAGE = Package(
    name="command",
    version="1.2.1",
    provider=Schema(type="pulumi:providers:command", inputs={}),
    connect=lambda inputs: Shell(),  # noqa: ARG005 - it takes none
    handlers=(LocalCommand(),),
)
