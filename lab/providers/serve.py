"""The process of a stand-in: ``python -m lab.providers.serve pulumi-resource-NAME [ENGINE]``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from pulumi.runtime.proto import provider_pb2_grpc

from lab.providers import package
from lab.providers.handler import Package
from lab.providers.plugin import Plugin
from lab.pulumi.plugin_process import PluginService, serve

PREFIX = "pulumi-resource-"


def run(name: str, arguments: Sequence[str], line: socket.socket | None = None) -> None:
    """Serve one of the stand-ins until the CLI has ended, then end this process.

    Args:
        name: The name of the plugin's file.
        arguments: The engine's address, if there is one.
        line: A connection; the plugin ends when it or stdout is closed.
    """
    serve_package(name, package(name.removeprefix(PREFIX)), arguments, line)


def serve_package(
    name: str, served: Package, arguments: Sequence[str], line: socket.socket | None = None
) -> None:
    """Serve a package as `run` does, which finds it by name."""
    plugin = Plugin(served, next(iter(arguments), ""))
    add = provider_pb2_grpc.add_ResourceProviderServicer_to_server
    serve(name, PluginService(add=lambda server: add(plugin, server), close=plugin.close), line)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
