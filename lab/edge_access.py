"""Access to a stack's edge: in the lab itself, or over SSH by the stack's outputs.

``make status`` and the bench reach its sockets and its process only through this module.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.config.models.edge import Edge as EdgeConfig
from controller.key_files import key_folder, write_private
from lab import live
from remote.edge_agent import status
from remote.edge_agent.control import ask
from remote.edge_agent.instance import Instance
from remote.edge_agent.status import Status
from remote.edge_agent.system import EdgeError

_SECONDS = 60.0

Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
"""Runs a program inside the lab to its end, and captures its output."""

_EDGE_AGENT = """import sys
sys.path.insert(0, sys.argv[1] + "/keeper.pyz")
from remote.edge_agent.control import ask
from remote.edge_agent.instance import Instance
"""
_ASK = f"""{_EDGE_AGENT}
from pathlib import Path
answer = ask(Path(sys.argv[1], sys.argv[2]), sys.argv[3])
sys.exit(1) if answer is None else sys.stdout.write(answer)
"""
_RELOAD = f"""{_EDGE_AGENT}
sys.exit(not Instance(*sys.argv[1:]).reload())
"""


def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program here; for callers that are inside the lab already."""
    try:
        return subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


@dataclass(frozen=True, kw_only=True)
class EdgeHost:
    """The edge of one stack, and the machine that it is on."""

    stack: str
    ssh: str
    """The shell command to which a command for root is appended; empty for the lab."""
    root: Path = Path("/")
    """Where the lab's own files are seen from here."""
    run: Run = run

    @classmethod
    def of(cls, stack: str, outputs: Mapping[str, Any], **seen: Any) -> EdgeHost:
        """Return the edge that a stack's outputs describe; ``seen`` as in the class."""
        return cls(stack=stack, ssh=outputs.get("edge", {}).get("ssh", ""), **seen)

    @property
    def folder(self) -> Path:
        """The folder of its files, on its machine."""
        return Path(EdgeConfig().folder) / self.stack

    def there(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program as root where the edge is."""
        return self.run((*shlex.split(self.ssh), shlex.join(argv)) if self.ssh else argv)

    def ask(self, command: str) -> str | None:
        """Return the answer of HAProxy's current worker, or None if there is none."""
        return self._asked("admin.sock", command)

    def ask_master(self, command: str) -> str | None:
        """Return the answer of HAProxy's master process, or None if there is none."""
        return self._asked("master.sock", command)

    def certificates(self) -> Path:
        """Return the path of the certificates to trust; another machine's are copied."""
        folder = self.folder / live.CERTIFICATES
        if not self.ssh:
            return folder
        without_keys = f"for each in {folder}/*; do openssl x509 -in $each; done"
        done = self.there("sh", "-c", without_keys)
        return Path(write_private(key_folder(self.stack) / "edge.pem", done.stdout.encode()))

    def certificates_status(self) -> Status | None:
        """Return the status of the edge's certificates; None if it has none."""
        if not self.ssh:
            return status.read(self._instance.folder)
        done = self.there("cat", str(self.folder / status.FILE))
        return status.parsed(done.stdout)

    def access_log(self) -> str:
        """Return its access log, one line of JSON per request."""
        if not self.ssh:
            return self._instance.access_log.read_text()
        unit = Instance(str(self.folder), self.stack).unit
        return self.there("journalctl", "--output", "cat", "--unit", unit).stdout

    def process(self, kind: str) -> str | None:
        """Return the PID of the ``master`` or the current ``worker``, on the edge's machine."""
        found = re.search(rf"^(\d+)\s+{kind}\s", self.ask_master("show proc") or "", re.MULTILINE)
        return found[1] if found is not None else None

    def reload(self) -> bool:
        """Reload it, and return whether that succeeded.

        It runs on the edge's machine: the paths in the workers' chroot are those of that machine.
        """
        return self._with_agent(_RELOAD, self.stack).returncode == 0

    @property
    def _instance(self) -> Instance:
        """The edge as seen from here, if it is in the lab itself."""
        return Instance(str(self.root / self.folder.relative_to("/")), self.stack)

    def _asked(self, socket: str, command: str) -> str | None:
        if not self.ssh:
            try:
                return ask(self._instance.folder / socket, command)
            except EdgeError:  # no answer in time
                return None
        done = self._with_agent(_ASK, socket, command)
        return done.stdout if done.returncode == 0 else None

    def _with_agent(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program with the edge agent that is installed at this edge."""
        return self.there("python3", "-c", program, str(self.folder), *arguments)
