"""The containers that have joined."""

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from remote import mark
from remote.vm_agent.container import is_id
from remote.vm_agent.kept import Kept


@dataclass
class Member:
    """A container that has joined."""

    id: str
    healthy_since: str | None = None
    """The ``started_at`` for which its health check has passed."""
    mark: str = ""
    """Of the last ``join``; empty if that was an older agent's."""


class Members:
    """The containers that have joined, in a file that outlives the daemon and the VM's reboots."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, Member] = {}
        self._kept = Kept(file, lambda: [asdict(each) for each in self])
        self._dropped: list[object] = []
        self.known = self._kept.read(self._understand) and not self._dropped
        """Whether there was a file, and all of it could be read."""

    def _understand(self, document: Any) -> None:
        # A newer agent, left by a failed update, may have written more keys.
        if not isinstance(document, list):
            raise TypeError("it is no list")
        for each in document:
            found = each if isinstance(each, dict) else {}
            since = found.get("healthy_since")
            if is_id(found.get("id")) and isinstance(since, str | None):
                self._members[found["id"]] = Member(found["id"], since, str(found.get("mark", "")))
            else:
                self._dropped.append(each)
        if self._dropped and not self._members:
            raise TypeError("there is no container in it")
        self._kept.drop(self._dropped)

    def __iter__(self) -> Iterator[Member]:
        with self._lock:
            return iter(list(self._members.values()))

    def get(self, container: str) -> Member | None:
        """Return a member by its container's id."""
        with self._lock:
            return self._members.get(container)

    def served(self) -> set[str]:
        """Return the ids of the members whose health check has passed."""
        return {each.id for each in self if each.healthy_since is not None}

    def put(self, container: str, healthy_since: str | None) -> None:
        """Add a member, or note since which start it is healthy."""
        with self._lock:
            known = self._members.get(container, Member(container))
            self._members[container] = replace(known, healthy_since=healthy_since)
        self._kept.save()

    def mark(self, container: str, printed: str = "") -> str:
        """Give a member its mark, and return it.

        Args:
            container: The member.
            printed: The previous output of the same join, if there was one.
        """
        its = mark.made(printed)
        with self._lock:
            if container in self._members:
                self._members[container] = replace(self._members[container], mark=its)
        self._kept.save()
        return its

    def remove(self, container: str) -> None:
        """Remove a member, if it is one."""
        with self._lock:
            gone = self._members.pop(container, None)
        if gone is not None:
            self._kept.save()
