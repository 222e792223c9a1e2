"""Checks of the logins to registries."""

from collections.abc import Iterable, Mapping

from components.config.models.stack import DOCKER_HUB, Registry


def registries(logins: Mapping[str, Registry]) -> Iterable[str]:
    """Yield an error for a second login to Docker Hub, which has several names."""
    first, *more = [host for host in logins if host in DOCKER_HUB] or [""]
    for host in more:
        yield f"registries.{host}: is Docker Hub, as {first} is; give it once (got a map)"
