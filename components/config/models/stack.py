"""A whole stack config."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.config.models.base import Matching, Model, Name, PrintableText, Secret
from components.config.models.edge import Edge
from components.config.models.farm import Farm
from components.config.models.hosts import in_ascii
from components.config.models.service import Service

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""Docker Hub's hosts in names of images; the last one is the host of its API."""

_NOT_DOCKER_HUB = ("docker.com", "hub.docker.com", "registry.hub.docker.com", "registry.docker.io")


def _registry_host(value: str) -> str:
    if value in _NOT_DOCKER_HUB or re.fullmatch(r"https?://[a-z0-9.-]*docker\.(io|com)/?.*", value):
        raise ValueError("is not a registry's host; Docker Hub's is docker.io")
    if re.fullmatch(r"https?://.*", value):
        raise ValueError("must be a registry's host; remove the scheme and the path")
    return in_ascii(value)


_RegistryHost = Annotated[
    str,
    AfterValidator(_registry_host),
    Matching(
        r"(?=.{1,260}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
        r"(:(?!0)[0-9]{1,4}|:[1-5][0-9]{4}|:6[0-4][0-9]{3}"
        r"|:65[0-4][0-9]{2}|:655[0-2][0-9]|:6553[0-5])?",
        "a registry's host and perhaps its port, such as registry.example.org:5000",
    ),
]


def _user(value: str) -> str:
    """Return a user, or raise ``ValueError`` for a colon, which ends a user's name in HTTP."""
    if not value or ":" in value:
        raise ValueError("must be a user's name, without a colon")
    return value


class Registry(Model):
    """How to log in to a registry of container images."""

    username: Annotated[PrintableText, AfterValidator(_user)] = Field(
        description="The user.", examples=["deploy"]
    )
    password: Secret = Field(
        description="The password or token: set it with `pulumi config set --secret --path`.",
        examples=[{"secure": "v1:…"}],
    )


class Stack(Model):
    """All keys of a stack, each with the prefix `gatehouse:` in the file."""

    farm: Farm = Field(description="The VMs.")
    services: Annotated[dict[Name, Service], Field(min_length=1)] = Field(
        description="The services, by name."
    )
    edge: Edge = Field(default=Edge(), description="The load balancer in front.")
    registries: dict[_RegistryHost, Registry] = Field(
        default_factory=dict,
        description="Logins to registries of container images, by their host; Docker Hub is"
        " `docker.io`.",
    )
