"""An OpenSSH server on loopback, for one test, with a login of root by one key."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import packages
from remote.edge_agent.system import poll

_PRIVILEGES = Path("/run/sshd")  # Debian's sshd looks for it, and systemd is not here to make it


@dataclass(frozen=True)
class SshServer:
    """A running server."""

    port: int
    host_key: str
    """As in ``edge.host_key``."""
    other_key: str
    """A host key that it does not have."""
    log: Path
    key_file: Path
    """The private key that may log in."""
    agent: dict[str, str]
    """The environment in which ``ssh`` has the key that may log in."""

    @property
    def logins(self) -> int:
        """The number of logins."""
        return self.log.read_text().count("Accepted publickey for root")


@contextlib.contextmanager
def running(port: int) -> Iterator[SshServer]:
    """Run a server until the block ends."""
    packages.ensure(("openssh-server",))
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for key in ("host", "user"):
            make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
            subprocess.run(make, check=True)
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nLogLevel VERBOSE\n"
            "PermitRootLogin prohibit-password\n"
        )
        if not _PRIVILEGES.exists():
            _PRIVILEGES.mkdir(mode=0o755)
            stack.callback(shutil.rmtree, _PRIVILEGES)
        log = folder / "log"
        command = ("/usr/sbin/sshd", "-D", "-E", str(log), "-f", str(folder / "config"))
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        agent = subprocess.run(("ssh-agent", "-s"), check=True, capture_output=True, text=True)
        found = dict(re.findall(r"^(SSH_\w+)=([^;]+);", agent.stdout, re.MULTILINE))
        stack.callback(os.kill, int(found["SSH_AGENT_PID"]), 15)
        environment = {**os.environ, **found}
        subprocess.run(("ssh-add", "-q", folder / "user"), check=True, env=environment)
        assert poll(lambda: log.exists() and "Server listening" in log.read_text(), 10)
        host, other = (
            " ".join((folder / f"{key}.pub").read_text().split()[:2]) for key in ("host", "user")
        )
        yield SshServer(port, host, other, log, folder / "user", environment)
