"""The agent's archive, which asks a fake Docker."""

import io
import zipfile
from pathlib import Path

from remote.archive import VM_AGENT, archive
from remote.vm_agent import docker

_CLIENT = "remote/vm_agent/docker.py"


def agent_program(socket: Path, more: str = "") -> bytes:
    """Return the archive of the agent, with another path of Docker's socket.

    Args:
        socket: The path.
        more: The version of another program than the one of this tree; empty for this one.
    """
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive(VM_AGENT))) as source,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for each in source.infolist():
            text = source.read(each).decode()
            if each.filename == _CLIENT:
                assert text.count(f'"{docker.SOCKET}"') == 1
                text = text.replace(f'"{docker.SOCKET}"', f'"{socket}"')
            if each.filename == "__main__.py" and more:
                text = text.replace("import sys", f"import sys  # {more}").replace(
                    "archive.packed = '", f"archive.packed = '{more}-"
                )
            target.writestr(each, text, zipfile.ZIP_DEFLATED)
    return made.getvalue()
