"""The commands of the agent on a VM; see the package."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from remote.archive import VM_AGENT, archive
from remote.files import write_whole
from remote.names import AGENT_FOLDER
from remote.vm_agent import ready
from remote.vm_agent.command import parsed
from remote.vm_agent.control import ask, await_deployed
from remote.vm_agent.daemon import serve
from remote.vm_agent.errors import AgentError


def main(arguments: Sequence[str]) -> int:
    """Run a command; code 1 and the reason on stderr if it fails, 2 if there is no such command."""
    asked = parsed(arguments)
    folder = Path(os.environ.get("GATEHOUSE_FOLDER", AGENT_FOLDER))
    try:
        if asked.action == "serve":
            serve(Path(asked.folder))
        elif asked.action == "ready":
            ready.wait(asked.container, asked.port, asked.path, asked.seconds)
        elif asked.action in ("install", "deployed"):
            if asked.action == "install":
                write_whole(Path(asked.file), archive(VM_AGENT))
            await_deployed(folder, asked.seconds)
        else:
            _ask(folder, asked)
    except (AgentError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _ask(folder: Path, asked: argparse.Namespace) -> None:
    """Ask the daemon to do it, and print its answer."""
    if asked.action == "evacuate":
        words = [str(asked.grace)]
    else:
        words = [asked.container, str(asked.seconds if asked.action == "join" else asked.grace)]
        if asked.printed is not None:
            words.append(f"mark={asked.printed}")
    if asked.action == "join":
        ask(folder, "join", *words, take=lambda said: print(said, flush=True))
    elif said := ask(folder, asked.action, *words):
        print(f"{asked.action}: {said}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
