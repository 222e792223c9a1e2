"""The images of the containers on a VM."""

import itertools
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remote.vm_agent import docker
from remote.vm_agent.container import Container, is_id
from remote.vm_agent.kept import Kept

_IMAGES = 2  # of a service that stay: the one it has, and the one before, for a way back


class Images:
    """The images that services have had on this VM; unused ones are removed, except the last two.

    An image that no container of Gatehouse has had is never removed.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._had: dict[str, list[str]] = {}
        """By service, the newest first."""
        self._others: set[str] = set()
        """Older ones, and those of containers that have not joined."""
        # An old copy has images that are there, and without one they would never be removed.
        self._kept = Kept(file, self._document)
        self._kept.read(self._understand)

    def _document(self) -> object:
        with self._lock:
            return {"had": dict(self._had), "others": sorted(self._others)}

    def _understand(self, document: Any) -> None:
        had, others = document["had"], document["others"]
        services = {name: ids for name, ids in had.items() if is_id(name) and isinstance(ids, list)}
        self._had = {name: list(filter(is_id, ids)) for name, ids in services.items()}
        self._others = set(filter(is_id, list(others)))
        odd = [name for name in had if name not in services]
        odd += [each for each in (*others, *itertools.chain(*services.values())) if not is_id(each)]
        self._kept.drop([each for each in odd if each != ""])  # of a container without an image

    def comes(self, container: Container) -> None:
        """Note the image of a container that may never join."""
        self._note({}, {container.image})

    def serves(self, *containers: Container) -> None:
        """Note the images of containers that serve."""
        self._note({each.plain_service: each.image for each in containers}, set())

    def ends(self, service: str) -> None:
        """Keep only the last image of each service that has no container here any more."""
        with self._lock:
            self._others |= set(self._had.get(service, [])[1:])
            self._had = {
                name: ids[:1] if name == service else ids for name, ids in self._had.items()
            }
        self._kept.save()

    def _note(self, served: Mapping[str, str], others: set[str]) -> None:
        with self._lock:
            before = (dict(self._had), set(self._others))
            self._others |= others
            for service, image in served.items():
                older = [each for each in self._had.get(service, []) if each != image]
                self._had[service] = [image, *older[: _IMAGES - 1]]
                self._others |= {*older[_IMAGES - 1 :]}
            self._others -= {"", *itertools.chain.from_iterable(self._had.values())}
            changed = before != (self._had, self._others)
        if changed:
            self._kept.save()

    def sweep(self) -> None:
        """Remove those that are no longer kept; Docker refuses while a container has one."""
        with self._lock:
            others = sorted(self._others)
        for image in others:
            try:
                status, _ = docker.ask(f"/images/{image}", method="DELETE")
            except OSError as error:
                print(f"image {image} cannot be removed: {error}", flush=True)
                return
            if status in (200, 404):
                with self._lock:
                    self._others.discard(image)
                self._kept.save()
