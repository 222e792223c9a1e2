"""The lab's stand-ins for the three providers that the program uses, as far as it uses them.

To the Pulumi engine they are provider plugins like any other. They carry out each operation for
real, with libvirt, Docker and the shell. They refuse each resource type, input and operation that
they do not implement; they never ignore one.
"""

from __future__ import annotations

import importlib

from lab.providers.handler import Package

VERSIONS = {"libvirt": "0.5.4", "docker": "5.2.0", "command": "1.2.1"}
"""The plugins by the versions in requirements.txt."""


def package(name: str) -> Package:
    """Return one of the stand-ins, imported only now, because each process is one of them."""
    module = importlib.import_module(f"lab.providers.{name}")
    found: Package = module.PACKAGE
    return found
