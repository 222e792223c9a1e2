"""The containers that have joined."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
    joining: bool = False
    """Whether its first ``join`` is not over: until then, it is not in the file."""


class Members:
    """The containers that have joined, in a file that outlives the daemon and the VM's reboots."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, Member] = {}
        self._joins: Counter[str] = Counter()
        """How many joins of each container are under way."""
        # An old copy has those that have left, and lacks those that serve.
        self._kept = Kept(file, self._document, misleads=True)
        self._dropped: list[object] = []
        self.known = self._kept.read(self._understand) and not self._dropped
        """Whether there was a file, and all of it could be read."""

    def _document(self) -> object:
        kept = [asdict(each) for each in self if not each.joining]
        return [{key: each[key] for key in each if key != "joining"} for each in kept]

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
        """Add a member."""
        with self._lock:
            known = self._members.get(container, Member(container))
            self._members[container] = replace(known, healthy_since=healthy_since)
        self._kept.save()

    def note(self, container: str, healthy_since: str | None) -> None:
        """Note since which start a member is healthy; one that has left stays gone."""
        with self._lock:
            known = self._members.get(container)
            if known is None:
                return
            self._members[container] = replace(known, healthy_since=healthy_since)
        self._kept.save()

    def begin_join(self, container: str) -> None:
        """Add a member until ``end_join``, unless it is one already."""
        with self._lock:
            self._joins[container] += 1
            self._members.setdefault(container, Member(container, joining=True))

    def joining(self, container: str) -> bool:
        """Whether a join of a container is under way."""
        with self._lock:
            return self._joins[container] > 0

    def joined(self, container: str, its: str) -> bool:
        """Have a member stay, with its mark.

        Returns:
            Whether it has not left meanwhile.
        """
        with self._lock:
            known = self._members.get(container)
            if known is None:
                return False
            self._members[container] = replace(known, mark=its, joining=False)
        self._kept.save()
        return True

    def end_join(self, container: str) -> bool:
        """End a join; the last one of a container that has not joined removes it.

        Returns:
            Whether it is no member now.
        """
        with self._lock:
            self._joins[container] -= 1
            if self._joins[container] == 0:
                del self._joins[container]
                known = self._members.get(container)
                if known is not None and known.joining:
                    del self._members[container]
            return container not in self._members

    def remove(self, container: str) -> None:
        """Remove a member, if it is one."""
        with self._lock:
            gone = self._members.pop(container, None)
        if gone is not None:
            self._kept.save()
