"""Docker on another host: its API socket, forwarded over one SSH connection."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import docker
import docker.errors
import requests.exceptions
from docker.utils import parse_repository_tag

from lab.providers.provider_errors import ProviderError, ProviderUnreachable
from lab.providers.values import Props

T = TypeVar("T")

_CONNECT_SECONDS = 60.0
"""For SSH's handshake, which takes up to 8 s on an emulated CPU that four others keep busy."""
_ANSWER_SECONDS = 600.0
"""For one request; the longest is the pull of an image."""
_POLL_SECONDS = 0.05
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="ssh")
"""The permanent thread that starts ssh: `--pdeathsig` acts when the starting thread ends, and the
threads that carry out requests come and go."""


class DockerHost:
    """One provider's Docker. The connection is made with the first request."""

    def __init__(self, inputs: Props) -> None:
        self.host: str = inputs["host"]
        self._ssh_options: list[str] = json.loads(inputs.get("sshOpts", "[]"))
        self._registries: list[Props] = json.loads(inputs.get("registryAuth", "[]"))
        self._lock = threading.Lock()
        self._client: docker.DockerClient | None = None
        self._forward: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def cancel(self) -> None:
        """Do nothing: an interrupted request may leave half a change, so it may end."""

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._close()

    def registry_auth(self, image: str) -> dict[str, str] | None:
        """Return the account that pulls an image, if the provider has one for its registry."""
        registry, slash, _ = image.partition("/")
        if not (slash and ("." in registry or ":" in registry)):
            registry = "registry-1.docker.io"
        for entry in self._registries:
            if entry["address"].removeprefix("https://") == registry:
                return {"username": entry["username"], "password": entry["password"]}
        return None

    def ask(self, question: Callable[[docker.DockerClient], T]) -> T:
        """Send a request to Docker.

        Raises:
            Unreachable: No SSH there, no Docker behind it, or it stopped answering.
            ProviderError: Docker refuses; the text is Docker's.
        """
        with _in_our_words(self.host):
            return question(self._connected())

    def _connected(self) -> docker.DockerClient:
        with self._lock:
            if self._client is not None and self._forward and self._forward.poll() is None:
                return self._client
            self._close()
            try:
                self._client = self._connect()
            except BaseException:
                self._close()
                raise
            return self._client

    def _connect(self) -> docker.DockerClient:
        where = urlsplit(self.host)
        if where.scheme != "ssh" or not where.hostname:
            raise ProviderError(f"host: must be ssh://user@address (got {self.host})")
        self._folder = Path(tempfile.mkdtemp(prefix="gatehouse-"))
        path = self._folder / "docker.sock"
        command = (
            # Otherwise ssh would outlive a plugin that is killed.
            *("setpriv", "--pdeathsig", "KILL", "--", "ssh"),
            # A shared connection would end with the process that opened it.
            *("-o", "ControlMaster=no", "-o", "ControlPath=none", *self._ssh_options),
            *("-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
            *("-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15"),
            *("-o", "ServerAliveCountMax=8", "-N", "-L", f"{path}:/var/run/docker.sock"),
            *(("-l", where.username) if where.username else ()),
            *("-p", str(where.port or 22), "--", where.hostname),
        )
        self._forward = _STARTER.submit(_start, command, path.with_suffix(".errors")).result()
        deadline = time.monotonic() + _CONNECT_SECONDS
        while not _listening(path):
            if self._forward.poll() is not None:
                errors = path.with_suffix(".errors").read_text(errors="replace").strip()
                raise ProviderUnreachable(f"{self.host}: ssh: {errors}")
            if time.monotonic() > deadline:
                raise ProviderUnreachable(
                    f"{self.host}: no SSH connection within {_CONNECT_SECONDS:.0f} s"
                )
            time.sleep(_POLL_SECONDS)
        return docker.DockerClient(
            base_url=f"unix://{path}", version="auto", timeout=int(_ANSWER_SECONDS)
        )

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._forward is not None:
            self._forward.kill()
            self._forward.wait()
            self._forward = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _start(command: Sequence[str], errors: Path) -> subprocess.Popen[bytes]:
    with errors.open("wb") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
        )


@contextlib.contextmanager
def _in_our_words(host: str) -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise ProviderError(f"{host}: Docker: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise ProviderUnreachable(f"{host}: Docker does not answer: {error}") from error


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def gone_is_fine(
    action: Callable[[docker.DockerClient], object],
) -> Callable[[docker.DockerClient], None]:
    """Return a request that does nothing if its object is gone."""

    def ask(client: docker.DockerClient) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            action(client)

    return ask


def there(
    question: Callable[[docker.DockerClient], Props],
) -> Callable[[docker.DockerClient], Props | None]:
    """Return a request that returns None if its object is gone."""

    def ask(client: docker.DockerClient) -> Props | None:
        try:
            return question(client)
        except docker.errors.NotFound:
            return None

    return ask


def find_image(client: docker.DockerClient, name: str, auth: dict[str, str] | None) -> Props:
    """Return an image's description, after pulling it if it is not there."""
    try:
        return _image(client, name)
    except docker.errors.ImageNotFound:
        repository, tag = parse_repository_tag(name)
        client.api.pull(repository, tag=tag or "latest", auth_config=auth)
        return _image(client, name)


def _image(client: docker.DockerClient, name: str) -> Props:
    found: Props = client.api.inspect_image(name)  # type: ignore[no-untyped-call]
    return found
