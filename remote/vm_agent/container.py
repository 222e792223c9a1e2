"""A container as the agent sees it: Docker's description, its labels, and its health check."""

import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from remote.labels import own_labels
from remote.names import INTERVAL_LABEL, SLOT_LABEL, TRAEFIK_LABEL
from remote.vm_agent import connections
from remote.vm_agent.http1 import http1_status
from remote.vm_agent.http2 import GRPC_HEALTH, http2_status

SAID = 500
"""How many characters of another program's output are in a message."""

_ID = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}"
"""Of containers, images and services."""
_JOIN_CHECK_SECONDS = 10.0
"""Seconds for the first answers, which take longer than later ones."""
_HEALTHCHECK = ".loadbalancer.healthcheck."
"""In the labels of checks. Traefik does not see them, or it would check the application too."""
_SCHEME = "loadbalancer.server.scheme"
_NETWORK_FLAG = "--providers.docker.network"
_PORT = re.compile(
    r"traefik\.(?P<kind>http|tcp)\.services\.(?P<service>.+)\.loadbalancer\.server\.port"
)


@dataclass(frozen=True)
class Container:
    """The properties of a container that the agent uses."""

    id: str
    running: bool
    started_at: str
    """The time of its start, in Docker's format; it changes with each start."""
    pid: int
    address: str
    """The one that Traefik uses, if there is more than one."""
    addresses: dict[str, str]
    """All of them, by the name of the network."""
    health: str
    """What Docker's own check has come to: ``starting``, ``healthy`` …; empty if it has none."""
    said: str
    """The last output of that check."""
    image: str
    """The id of its image."""
    labels: dict[str, str]
    """The labels that Gatehouse has given it."""
    told: dict[str, Any]
    """Docker's description of it, without its environment and the labels that are not for
    Traefik."""

    @property
    def is_traefik(self) -> bool:
        """Whether it is Traefik's own, and no service's."""
        port = self.labels.get(TRAEFIK_LABEL, "")
        return re.fullmatch("[0-9]{1,5}", port) is not None and SLOT_LABEL not in self.labels

    def in_network_of(self, traefik: "Container") -> "Container":
        """Return it with the address in the network over which a Traefik reaches containers."""
        given = [each.partition("=") for each in traefik.told["Config"].get("Cmd") or ()]
        named = (name for flag, _, name in given if flag == _NETWORK_FLAG)
        return replace(self, address=self.addresses.get(next(named, ""), self.address))

    @property
    def plain_service(self) -> str:
        """The service's name in the config; ``_traefik`` for Traefik."""
        return self.service.rpartition("-")[0] or "_traefik"

    @property
    def kind(self) -> str:
        """How Traefik serves it: ``http`` or ``tcp``."""
        return self._served[0]

    @property
    def service(self) -> str:
        """The service's name in Traefik; empty if Traefik does not serve it."""
        return self._served[1]

    @property
    def _served(self) -> tuple[str, str]:
        found = [
            (each["kind"], each["service"]) for each in map(_PORT.fullmatch, self.labels) if each
        ]
        # A TCP container also has an HTTP service, for the edge's check.
        return max(found, default=("http", ""))

    @property
    def port(self) -> int:
        """The port that it serves on."""
        return int(self._of_service("server.port"))

    @property
    def at(self) -> str:
        """Its address in the format of Traefik's API."""
        return f"{f'{self._scheme}://' if self.kind == 'http' else ''}{self.address}:{self.port}"

    @property
    def _scheme(self) -> str:
        return self.labels.get(f"traefik.http.services.{self.service}.{_SCHEME}", "http")

    def _of_service(self, key: str) -> str:
        return self.labels[f"traefik.{self.kind}.services.{self.service}.loadbalancer.{key}"]

    def unchecked(self) -> "Container":
        """Return the container as Traefik is to see it when the edge's check is to fail."""
        check = f"traefik.http.routers.{self.service}_check."
        labels = self.told["Config"]["Labels"]
        kept = {key: value for key, value in labels.items() if not key.startswith(check)}
        return replace(self, told={**self.told, "Config": {**self.told["Config"], "Labels": kept}})

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return self._seconds("interval", self.labels.get(INTERVAL_LABEL, "10s"))

    @property
    def check_timeout(self) -> float:
        """Seconds that one check may take."""
        return self._seconds("timeout", "5s")

    def _seconds(self, key: str, otherwise: str) -> float:
        balancer = f"traefik.{self.kind}.services.{self.service}{_HEALTHCHECK}"
        return float(self.labels.get(f"{balancer}{key}", otherwise).removesuffix("s"))

    @property
    def _has_command(self) -> bool:
        """Whether it is a TCP service that only Docker checks."""
        return self.kind == "tcp" and not any(_HEALTHCHECK in each for each in self.labels)

    def health_problem(self, timeout: float = _JOIN_CHECK_SECONDS) -> str | None:
        """Return why it fails its health check, or None.

        Docker's own check has to pass too, because Traefik leaves out unhealthy containers.
        """
        return self._docker_problem() or self._answer_problem(timeout)

    @property
    def taken_up(self) -> bool:
        """Whether Traefik takes it up; it leaves out one that fails Docker's own check."""
        return self.health in ("", "none", "healthy")

    def _answer_problem(self, timeout: float) -> str | None:
        if self._has_command and self.health:
            return None
        if self.kind == "tcp" or self._takes_calls:
            return self._connection_problem(timeout)
        return self._http_problem(timeout)

    def call_problem(self, timeout: float) -> str | None:
        """Return why it fails a check while it serves, or None.

        As ``health_problem``, with two exceptions. gRPC servers get a call: any gRPC answer passes,
        so they need no health service. And the result of Docker's own check does not count, because
        this description is as old as the container's first request: Traefik judges by the newest.
        """
        called = self._takes_calls and self.kind == "http"
        return self._http_problem(timeout) if called else self._answer_problem(timeout)

    def _docker_problem(self) -> str | None:
        if self.taken_up:
            return None
        checked = "its health.command" if self._has_command else "Docker's check of it"
        said = f": {self.said}" if self.said else ""
        hint = (
            ""
            if self._has_command
            else " (health.command, or else the image's HEALTHCHECK, which"
            " health.image_check: false switches off)"
        )
        return f"{checked} says {self.health}{said}{hint}"

    @property
    def _takes_calls(self) -> bool:
        """Whether it is treated as a gRPC server: HTTP/2 only, and without a ``health.path``."""
        return self._scheme != "http" and not any(_HEALTHCHECK in each for each in self.labels)

    def _http_problem(self, timeout: float) -> str | None:
        path, host = GRPC_HEALTH, self.address
        if not self._takes_calls:
            path = self._of_service("healthcheck.path")
            host = self._of_service("healthcheck.hostname")
        ask = http1_status if self._scheme == "http" else http2_status
        try:
            status = ask((self.address, self.port), host, path, timeout)
        except (OSError, http.client.HTTPException) as error:
            return f"{path} on port {self.port}: {error or type(error).__name__}"
        return None if 200 <= status < 400 else f"{path} on port {self.port}: status {status}"

    def _connection_problem(self, timeout: float) -> str | None:
        try:
            socket.create_connection((self.address, self.port), timeout=timeout).close()
        except OSError as error:
            return f"a connection to port {self.port}: {error}"
        return None

    def connections(self) -> int:
        """Return how many connections there are to its port."""
        return connections.count(self.pid, self.port, self.kind)


def inspected(text: bytes, image: Mapping[str, str] | None = None) -> Container:
    """Return the container in Docker's JSON; ``image`` has the labels of its image."""
    told = json.loads(text)
    name = told.get("Name", "").removeprefix("/")
    labels = own_labels(told["Config"]["Labels"] or {}, image, name)
    shown = {
        key: value
        for key, value in labels.items()
        if key.startswith("traefik.") and _HEALTHCHECK not in key
    }
    told["Config"] |= {"Env": [], "Labels": shown}
    state = told["State"]
    health = state.get("Health") or {}
    checks = health.pop("Log", None) or [{}]
    networks = told["NetworkSettings"]["Networks"] or {}
    addresses = {key: each["IPAddress"] for key, each in networks.items() if each["IPAddress"]}
    return Container(
        id=told["Id"],
        # Docker also says so shortly before it restarts a container, which has no process then.
        running=bool(state["Running"] and state["Pid"]) and not state["Paused"],
        started_at=state["StartedAt"],
        pid=state["Pid"],
        address=next(iter(addresses.values()), ""),
        addresses=addresses,
        health=health.get("Status", ""),
        said=checks[-1].get("Output", "").strip()[-SAID:],
        image=told.get("Image", ""),
        labels=labels,
        told=told,
    )


def is_id(value: object) -> bool:
    """Whether this can be Docker's ID of a container or an image."""
    return isinstance(value, str) and re.fullmatch(_ID, value) is not None
