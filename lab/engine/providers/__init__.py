"""The three providers that the program uses, as far as it uses them."""

from lab.engine.handler import Catalogue
from lab.engine.providers import command, docker, libvirt

CATALOGUE = Catalogue((libvirt.PACKAGE, docker.PACKAGE, command.PACKAGE))
"""All that the lab engine implements."""
