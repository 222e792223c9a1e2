"""libvirt through `virsh`: one short process for each call."""

from __future__ import annotations

import os
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

from lab.providers.provider_errors import ProviderError, ProviderUnreachable

_LIMIT = 120.0
"""Seconds for one call. The longest is the upload of a disk image of some 600 MB: 5 s."""


class NotThere(ProviderError):  # noqa: N818 - reads better in `raise`
    """The object does not exist in libvirt."""


class Virsh:
    """One hypervisor."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.networks = threading.Lock()
        """libvirt gives the same bridge to two networks that are defined at the same time."""
        self.pools: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        """By name: a pool cannot be refreshed while a volume in it is being made."""

    def cancel(self) -> None:
        """Do nothing: calls are short, and a call that is cut off may leave half a resource."""

    def close(self) -> None:
        """Do nothing, because no connection stays open."""

    def __call__(self, *arguments: str, stdin: str | None = None, limit: float = _LIMIT) -> str:
        """Run one virsh command and return what it prints.

        Raises:
            NotThere: The object does not exist.
            ProviderUnreachable: libvirt does not answer.
            ProviderError: It failed; the text is libvirt's.
        """
        try:
            done = subprocess.run(
                ("virsh", "--quiet", "--connect", self.uri, *arguments),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError as error:
            raise ProviderError("virsh is not installed: install libvirt-clients") from error
        except subprocess.TimeoutExpired as error:
            raise ProviderUnreachable(
                f"{self.uri}: no answer to virsh {arguments[0]} within {limit:.0f} s"
            ) from error
        if done.returncode == 0:
            return done.stdout
        text = done.stderr.strip().removeprefix("error: ")
        if "failed to connect to the hypervisor" in text:
            raise ProviderUnreachable(f"{self.uri}: {text}")
        if "not found" in text or "failed to get" in text:
            raise NotThere(text)
        raise ProviderError(f"virsh {arguments[0]}: {text}")

    def xml(self, *arguments: str) -> ET.Element:
        """Run a virsh command that prints XML and return its root."""
        return ET.fromstring(self(*arguments))  # noqa: S314 - libvirt's own

    def define(self, command: str, document: ET.Element, *before: str) -> None:
        """Run a virsh command that takes XML as its last argument."""
        self(command, *before, "/dev/stdin", stdin=ET.tostring(document, encoding="unicode"))


def text_of(element: ET.Element, path: str) -> str:
    """Return the text at a path of an XML document, empty if there is none."""
    return (element.findtext(path) or "").strip()


def local_file(source: str) -> Path:
    """Return the path of an image that is a file here.

    Raises:
        ProviderError: It is not.
    """
    path = Path(source.removeprefix("file://"))
    if "://" in str(path):
        raise ProviderError(
            f"source: the lab takes image files only (got {source}): download it first"
        )
    if not path.is_file():
        raise ProviderError(f"source: {path} is not a file: give the path of a disk image")
    return path
