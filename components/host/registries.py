"""Logins to registries, by the addresses under which Docker's provider looks them up."""

from collections.abc import Iterator, Mapping

from components.config.models.stack import DOCKER_HUB, Registry


def logins(registries: Mapping[str, Registry]) -> Iterator[tuple[str, Registry]]:
    """Yield each login with an address.

    The provider (terraform-provider-docker 3.x behind pulumi-docker 5.2) takes the login whose
    address is the first part of an image's name, and ``registry-1.docker.io`` for names without a
    registry. Docker Hub has three names that images may begin with, so its login has all of them.
    """
    for address, login in registries.items():
        for each in DOCKER_HUB if address in DOCKER_HUB else (address,):
            yield each, login
