"""The command provider: shell commands on this machine."""

from __future__ import annotations

import os
import secrets
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from lab.engine.errors import EngineError
from lab.engine.handler import Call, Handler, Made, Package
from lab.engine.model import Resource
from lab.engine.schema import Effect, Schema
from lab.engine.values import Props, plain

# Ends with the engine, and its children with it, so that nothing of a run that was killed works on
# while the next one does the same again; daemons have left the process group by then and stay.
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
    """This machine; it needs no connection."""

    def close(self) -> None:
        """Nothing is open."""


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

    def create(self, connection: Shell, call: Call) -> Made:  # noqa: ARG002 - it has none
        """Run `create`."""
        outputs = self._run(call, call.inputs.get("create"), {})
        return Made(f"{call.name}{secrets.token_hex(4)}", outputs)

    def update(self, connection: Shell, call: Call, old: Resource) -> Props:  # noqa: ARG002
        """Run `update`, or `create` where there is none."""
        script = call.inputs.get("update", call.inputs.get("create"))
        return self._run(call, script, _printed(old))

    def delete(self, connection: Shell, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Run `delete`, with the inputs of the last creation or update."""
        self._run(call, call.inputs.get("delete"), _printed(old))

    def read(
        self,
        connection: Shell,  # noqa: ARG002 - it has none
        resources: Sequence[Resource],
    ) -> list[Resource | None]:
        """Return them as they are in the state: what a command did cannot be read."""
        return list(resources)

    def find(self, connection: Shell, resource: Resource) -> Resource | None:  # noqa: ARG002
        """Return None: what a command did cannot be looked up, so it is run again."""
        return None

    def _run(self, call: Call, script: str | None, previous: Props) -> Props:
        if script is None:
            return previous or {"stdout": "", "stderr": ""}
        environment = dict(call.inputs.get("environment", {}))
        if call.inputs.get("addPreviousOutputInEnv", True):
            for name in ("stdout", "stderr"):
                if previous.get(name):
                    environment[f"PULUMI_COMMAND_{name.upper()}"] = previous[name]
        interpreter = call.inputs.get("interpreter") or ["/bin/sh", "-c"]
        return _execute(call, script, [*interpreter, script], {**os.environ, **environment})


def _execute(
    call: Call, script: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Props:
    """Run a command to its end and return what it printed.

    Raises:
        EngineError: It ended with another code than 0, or not within the time limit.
    """
    said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    every: list[bytes] = []
    logged = _LOGGED[call.inputs.get("logging")]
    with tempfile.TemporaryFile() as stdin:
        # Before the command starts, which reads the same file at the same place.
        stdin.write(call.inputs.get("stdin", "").encode())
        stdin.seek(0)
        with subprocess.Popen(
            (*_DIES_TOO, *arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=call.inputs.get("dir"),
            env=environment,
            start_new_session=True,
        ) as process:
            ended = False
            try:
                for name, line in _lines(process, call.timeout):
                    said[name].append(line)
                    every.append(line)
                    if name in logged and not call.hushed & {"stdout", "stderr"}:
                        call.say(line.decode(errors="replace").rstrip("\r\n"))
                code = process.wait()
                ended = True
            finally:
                if not ended:
                    os.killpg(process.pid, signal.SIGKILL)
    if code != 0:
        text = b"".join(every).decode(errors="replace").strip()
        shown = "[secret]" if call.hushed else text
        raise EngineError(f"exit status {code}: running {_short(script)}:\n{shown}")
    return {
        name: b"".join(chunks).decode(errors="replace").removesuffix("\n")
        for name, chunks in said.items()
    }


def _lines(process: subprocess.Popen[bytes], timeout: float | None) -> Iterator[tuple[str, bytes]]:
    """Yield what a process prints, line by line: a secret in two halves would not be recognised."""
    deadline = None if timeout is None else time.monotonic() + timeout
    rest = {"stdout": b"", "stderr": b""}
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise EngineError(f"no end within {timeout:.0f} s, its time limit; stopped")
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                lines = (rest[key.data] + chunk).splitlines(keepends=True)
                begun = chunk and not lines[-1].endswith(b"\n")
                rest[key.data] = lines.pop() if begun else b""
                yield from ((key.data, line) for line in lines)


def _printed(old: Resource) -> Props:
    outputs: Props = plain(old.outputs)
    return {name: outputs.get(name, "") for name in ("stdout", "stderr")}


def _short(script: str) -> str:
    first = shlex.quote(script.strip().splitlines()[0] if script.strip() else script)
    return first if len(first) <= 100 else f"{first[:100]}…"


PACKAGE = Package(
    name="command",
    version="1.2.1",
    provider=Schema(type="pulumi:providers:command", inputs={}),
    connect=lambda inputs: Shell(),  # noqa: ARG005 - it has none
    handlers=(LocalCommand(),),
    has_default=True,
)
