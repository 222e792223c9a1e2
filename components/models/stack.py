"""A whole stack config."""

from typing import Annotated

from pydantic import Field

from components.models.base import Matching, Model, Name, PrintableText, Secret
from components.models.edge import Edge
from components.models.farm import Farm
from components.models.service import Service

_RegistryHost = Annotated[
    str,
    Matching(
        r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?",
        "a registry's host and perhaps its port, such as registry.example.org",
    ),
]


class Registry(Model):
    """How to log in to a registry of container images."""

    username: PrintableText = Field(description="The user.", examples=["deploy"])
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
        description="Logins to registries of container images, by their address.",
    )
