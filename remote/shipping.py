"""The way to a machine where only ``python3`` is known to be: an archive within a command."""

import base64
import hashlib
import shlex

# In memory, so that nothing stays on the host however the program ends. Because of the digest, an
# incomplete program never runs.
_FROM_MEMORY = """import base64, hashlib, os, runpy, sys
program, digest = base64.b64decode(sys.argv.pop(1)), sys.argv.pop(1)
if hashlib.sha256(program).hexdigest() != digest:
    sys.exit("the program did not arrive whole, so nothing was done; run it again")
file = os.memfd_create("program")
with open(file, "wb", closefd=False) as written:
    written.write(program)
sys.argv[0] = f"/proc/self/fd/{file}"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def archive_command(archive: bytes, *arguments: str) -> str:
    """Return the shell command that runs an archive of Python modules with ``arguments``.

    The archive goes into the command line, so that its standard input stays free. Linux takes at
    most 128 KiB in one argument, hence at most 96 KiB of archive.
    """
    text = base64.b64encode(archive).decode("ascii")
    digest = hashlib.sha256(archive).hexdigest()
    return shlex.join(("python3", "-c", _FROM_MEMORY, text, digest, *arguments))
