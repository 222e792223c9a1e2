"""The lab's language host for Python, where Pulumi's own is not installed.

The CLI starts ``pulumi-language-python``, which it finds among its plugins, and asks it to run the
program. As with Pulumi's own host, the program runs in another process, with the project's virtual
environment. This host generates no code and installs nothing: `make venv` does that.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2 as wire
from pulumi.runtime.proto import language_pb2_grpc, plugin_pb2

from lab.pulumi.cli import wanted
from lab.pulumi.plugin_process import PluginService, serve

NAME = "pulumi-language-python"
_PROGRAM = Path(__file__).parent / "run_program.py"
_SHOWN = 32
"""The exit code of a program that has shown its error itself."""


def python_of(info: Any) -> str:
    """Return the Python of a project: of its ``virtualenv``, or the one on PATH."""
    folder = MessageToDict(info.options).get("virtualenv")
    if not folder:
        return "python3"
    return str(Path(info.root_directory) / folder / "bin" / "python")


def packages(python: str) -> list[plugin_pb2.PluginDependency]:
    """Return the plugins that the provider packages in an environment need."""
    found = []
    for file in sorted(
        Path(python).parents[1].glob("lib/python3*/site-packages/*/pulumi-plugin.json")
    ):
        described = json.loads(file.read_text(encoding="utf-8"))
        if described.get("resource") and described.get("name") and described.get("version"):
            found.append(
                plugin_pb2.PluginDependency(
                    name=described["name"],
                    kind="resource",
                    version=f"v{described['version'].removeprefix('v')}",
                    server=described.get("server", ""),
                )
            )
    return found


class Language(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs programs in Python."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    def Handshake(self, request: Any, context: Any) -> wire.LanguageHandshakeResponse:
        """Answer the engine's handshake."""
        return wire.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        """Return the version of the SDK."""
        return plugin_pb2.PluginInfo(version=wanted())

    def About(self, request: Any, context: Any) -> wire.AboutResponse:
        """Return the Python that runs programs."""
        return wire.AboutResponse(
            executable=python_of(request.info), version=platform.python_version()
        )

    def GetRequiredPackages(self, request: Any, context: Any) -> wire.GetRequiredPackagesResponse:
        """Return the plugins that the program may need."""
        needed = [
            plugin_pb2.PackageDependency(
                name=each.name, kind=each.kind, version=each.version, server=each.server
            )
            for each in packages(python_of(request.info))
        ]
        return wire.GetRequiredPackagesResponse(packages=needed)

    def GetProgramDependencies(
        self, request: Any, context: Any
    ) -> wire.GetProgramDependenciesResponse:
        """Return no dependencies: requirements.txt has them."""
        return wire.GetProgramDependenciesResponse()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> wire.RuntimeOptionsResponse:
        """Return no questions for a new project."""
        return wire.RuntimeOptionsResponse()

    def InstallDependencies(
        self, request: Any, context: Any
    ) -> Iterator[wire.InstallDependenciesResponse]:
        """Refuse: `make venv` does that."""
        yield wire.InstallDependenciesResponse(
            stderr=b"the lab's language host installs nothing: run `make venv`\n"
        )

    def Cancel(self, request: Any, context: Any) -> Empty:
        """End the program."""
        self.close()
        return Empty()

    def close(self) -> None:
        """End the program, and refuse to start another one."""
        with self._lock:
            self._cancelled = True
            for process in self._running:
                process.terminate()

    def Run(self, request: Any, context: Any) -> wire.RunResponse:
        """Run a program to its end."""
        python = python_of(request.info)
        if os.sep in python and not Path(python).is_file():
            return wire.RunResponse(error=f"{python}: does not exist: run `make venv`")
        with self._lock:
            if self._cancelled:
                return wire.RunResponse(bail=True)
            process = subprocess.Popen(
                (*(python, "-u", "-P", str(_PROGRAM)), *arguments(request)),
                cwd=request.pwd,
                env=environment(request),
                stdin=subprocess.DEVNULL,
            )
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        if code == 0:
            return wire.RunResponse()
        if code == _SHOWN or (self._cancelled and code == -signal.SIGTERM):
            return wire.RunResponse(bail=True)
        return wire.RunResponse(error=f"the program ended with exit code {code}")


def arguments(request: Any) -> list[str]:
    """Return the command line of the program's process."""
    program = request.program
    if request.info.program_directory:
        program = str(Path(request.info.program_directory) / request.info.entry_point)
    settings = {
        "monitor": request.monitor_address,
        "engine": next(iter(request.args), ""),
        "project": request.project,
        "stack": request.stack,
        "organization": request.organization,
        "root_directory": request.info.root_directory,
        "parallel": request.parallel,
        "dry_run": request.dryRun,
    }
    return [json.dumps(settings), program]


def environment(request: Any) -> dict[str, str]:
    """Return the program's environment, with its config: other users could see arguments."""
    return {
        **os.environ,
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }


def run(name: str, arguments: Sequence[str], line: socket.socket | None = None) -> None:  # noqa: ARG001
    """Serve until the CLI has ended, then end this process."""
    language = Language()
    add = language_pb2_grpc.add_LanguageRuntimeServicer_to_server
    serve(name, PluginService(add=lambda server: add(language, server), close=language.close), line)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
