"""Run a command, and leave a note if it fails: ``python3 -m controller.again NOTE COMMAND``.

A failed command may have taken effect, for example if SSH lost the connection. Pulumi keeps the
previous inputs and compares only those. With the previous config, it would not run the command
again. So the program reads the note, and makes Pulumi repeat the command: `components.again`.
"""

import ctypes
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from controller.key_files import write_private

_PR_SET_PDEATHSIG = 1


def run(note: Path, command: str) -> int:
    """Run a shell command to its end, and return its exit code.

    Args:
        note: The file that exists from now on until the command has succeeded.
        command: The command. It gets our standard streams, and ends with this process.
    """
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(note, secrets.token_hex(8).encode())
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
    print(
        f"{note.name}: this command failed, but may have taken effect. The next `pulumi up` from"
        " this folder runs it again, even with the previous config. In another folder or on another"
        f" machine, run `pulumi up --replace '**{note.name}'`",
        file=sys.stderr,
    )
    return code if code > 0 else 128 - code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2]))
