"""Python programs that run where only ``python3`` is known to be, sent along in a command."""

import base64
import hashlib
import shlex

# In memory, so that nothing stays on the host however the program ends. The digest keeps a part of
# the program from running.
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


_EARLY = "only a part of the program arrived, because the connection ended early; run it again"


def whole_program(text: str) -> str:
    """Return the shell command that runs ``text`` from its standard input, if all of it comes.

    ``python3 -`` would run as much as there is. Arguments may follow.
    """
    return "python3 " + shlex.quote(
        "-cimport hashlib, sys; text = sys.stdin.buffer.read();"
        f' hashlib.sha256(text).hexdigest() == "{_digest(text)}" or sys.exit("{_EARLY}");'
        ' exec(compile(text, "<stdin>", "exec"))'
    )


def whole_file(text: str, file: str) -> str:
    """Return the shell command that makes ``file`` of its standard input, if all of it comes."""
    return (
        f'cat > {file}.part && echo "{_digest(text)}  {file}.part" | sha256sum --check --status'
        f" && mv {file}.part {file}"
        f' || {{ rm -f {file}.part; echo "{file}: {_EARLY}" >&2; exit 1; }}'
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
