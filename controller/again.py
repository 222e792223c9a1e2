"""Run a command, and leave a note if it fails: `controller.again NOTE create|delete COMMAND`.

A failed command may have taken effect, for example if SSH lost the connection. Pulumi keeps the
previous inputs and compares only those. With the previous config, it would not run the command
again, nor make again what a failed deletion took away. So the program reads the note, and makes
Pulumi repeat the command: `components.again`.
"""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from controller.key_files import write_private

_PR_SET_PDEATHSIG = 1
_KNOWN = (
    "The next `pulumi up` from this folder runs it again, even with the previous config. In another"
    " folder or on another machine, run `pulumi up --replace '**{}'`"
)
_NEW = (
    "The next `pulumi up` with the same config runs it again. Run that first even if you want the"
    " previous config back: Pulumi does not know yet what there is to undo"
)


def run(note: Path, kind: str, command: str) -> int:
    """Run a shell command to its end, and return its exit code.

    Args:
        note: The file that exists from now on until the command has succeeded.
        kind: `create`, also for an update, or `delete`.
        command: The command. It gets our standard streams, and ends with this process.
    """
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(note, secrets.token_hex(8).encode())
    except OSError as error:
        print(
            f"{note.name}: not run, because its note {note.absolute()} cannot be written: {error};"
            " remove what is in the way, or make room, and run this again",
            file=sys.stderr,
        )
        return 1
    libc = ctypes.CDLL(None)

    def end_with_parent() -> None:
        # Pulumi's provider kills only the process that it started. Only Linux has this.
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    with subprocess.Popen(
        ("/bin/sh", "-c", command),
        preexec_fn=end_with_parent,
    ) as process:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: process.send_signal(received))
        code = process.wait()
    if code == 0:
        note.unlink(missing_ok=True)
        return 0
    # Pulumi gives an update and a deletion the previous output of the command.
    is_new = kind == "create" and "PULUMI_COMMAND_STDOUT" not in os.environ
    print(
        f"{note.name}: this command failed, but may have taken effect."
        f" {_NEW if is_new else _KNOWN.format(note.name)}",
        file=sys.stderr,
    )
    return code if code > 0 else 128 - code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), *sys.argv[2:]))
