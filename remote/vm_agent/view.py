"""The view that Traefik has: the members that may serve, and each change of them."""

import os
import select
import threading
import time
from collections.abc import Callable

from remote.vm_agent.container import Container
from remote.vm_agent.errors import AgentError
from remote.vm_agent.members import Members
from remote.vm_agent.resources import prefer

WHO_SERVED = "who had joined"
"""Stands for the containers that served, while these are not known."""
_FIRST_LOOK_SECONDS = 30.0
"""Seconds for Docker to describe the containers that served before this agent."""


class View:
    """The members that may serve, and who waits for changes.

    It stores what Traefik sees, because Docker answers late when it matters: it reports a death
    only after its cleanup, and does not answer at all about a container that it is starting. On a
    busy emulated CPU these took 18 s and 2 minutes.
    """

    def __init__(self, members: Members, look: Callable[[str], None]) -> None:
        """Begin with the members that served before, as soon as Docker has described them.

        Args:
            members: The containers that have joined.
            look: Inspects a container again, in a separate thread.
        """
        self._members = members
        self._look = look
        self.changed = threading.Condition()
        """The lock protects everything below."""
        self._changes = 0
        self._shown: dict[str, Container] = {}
        self.unknown = members.served()
        """Containers that served before this agent, and that Docker has not described yet."""
        if not members.known:
            self.unknown.add(WHO_SERVED)
        self._watched: dict[str, str] = {}
        """The ``started_at`` of the processes whose end a thread awaits, by container."""
        self._asked: dict[str, object] = {}
        """The containers that are checked at their interval, each with a mark of its thread."""
        self.failed: dict[str, Container] = {}
        """Of those, the containers that run and have failed their last check."""
        self._slow: set[str] = set()
        """Of the failed ones, those that did not answer in time, as under too much load."""

    def shown(self) -> dict[str, Container]:
        """Return the containers that may serve, by their id, as Docker described them last.

        Where none of a service serves, those that are too slow are among them, without the router
        that answers the edge's check: the edge prefers another VM, and has these if there is none.

        Raises:
            OSError: Docker has not said whether those that served before this agent still run.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: not self.unknown, _FIRST_LOOK_SECONDS):
                raise OSError(f"Docker has not described {', '.join(self.unknown)} yet")
            served = {each.plain_service for each in self._shown.values() if each.taken_up}
            slow = (self.failed[each] for each in self._slow)
            left = (each for each in slow if each.plain_service not in served)
            return {**self._shown, **{each.id: each.unchecked() for each in left}}

    def services(self) -> set[str]:
        """Return the services that have a container which serves."""
        with self.changed:
            return {each.plain_service for each in self._shown.values()}

    def await_change(self, seen: int, seconds: float) -> int:
        """Return the number of changes when it is no longer ``seen``, or the time is over."""
        with self.changed:
            self.changed.wait_for(lambda: self._changes != seen, seconds)
            return self._changes

    def show(self, found: Container) -> bool:
        """Show a member to every Traefik, until its process ends.

        Returns:
            Whether it has not ended already, which Docker does not know yet.

        Raises:
            AgentError: It has left.
        """
        with self.changed:
            if self._members.get(found.id) is None:
                raise AgentError("it has left meanwhile")
            before = self._shown.get(found.id)
            if before == found:
                return True
            if self._watched.get(found.id) != found.started_at:
                try:
                    process = os.pidfd_open(found.pid)
                except ProcessLookupError:
                    return False
                self._watched[found.id] = found.started_at
                threading.Thread(target=self._await_end, args=(found, process), daemon=True).start()
                threading.Thread(target=prefer, args=(found,), daemon=True).start()
            if before is None or before.started_at != found.started_at:
                self.failed.pop(found.id, None)
                self._slow.discard(found.id)
                self._asked[found.id] = asking = object()
                threading.Thread(target=self._ask_on, args=(found, asking), daemon=True).start()
                self._members.note(found.id, found.started_at)
            self._shown[found.id] = found
            self.describe(found.id)
            return True

    def still_fails(self, found: Container) -> bool:
        """Whether it has failed its last check since its start; its next one will be made.

        Its description is kept: of one that is too slow, Traefik may have to see it.
        """
        with self.changed:
            before = self.failed.get(found.id)
            if not found.running or before is None or before.started_at != found.started_at:
                return False
            self.failed[found.id] = found
            if found.id in self._slow and before != found:
                self.describe(found.id)
            return True

    def hide(self, container: str) -> None:
        """Hide a container from every Traefik, and check it no more."""
        with self.changed:
            self._asked.pop(container, None)
            self._slow.discard(container)
            known = (self._shown.pop(container, None), self.failed.pop(container, None))
            if any(known) or container in self.unknown:
                self.describe(container)

    def describe(self, container: str) -> None:
        """Have Traefik list the containers again, as the state of one is known."""
        self.unknown.discard(container)
        self._changes += 1
        self.changed.notify_all()

    def _await_end(self, shown: Container, process: int) -> None:
        """Hide a container as soon as its process, a pidfd, has ended."""
        ends = select.poll()
        ends.register(process, select.POLLIN)
        ends.poll()
        os.close(process)
        with self.changed:
            if self._watched.get(shown.id) == shown.started_at:
                del self._watched[shown.id]
            now = self._shown.get(shown.id) or self.failed.get(shown.id)
            if now is not None and now.started_at == shown.started_at:
                self.hide(shown.id)

    def _ask_on(self, served: Container, asking: object) -> None:
        """Check a container at its service's interval until another thread is responsible for it.

        One that fails is hidden until it passes.
        """
        while True:
            with self.changed:
                if self.changed.wait_for(
                    lambda: self._asked.get(served.id) is not asking, served.interval
                ):
                    return
            began = time.monotonic()
            try:
                problem = served.call_problem(served.check_timeout)
            except Exception as odd:  # such as no more threads: it is asked again
                print(f"container {served.id[:12]} cannot be checked: {odd!r}", flush=True)
                continue
            slow = problem is not None and time.monotonic() - began >= served.check_timeout
            with self.changed:
                if self._asked.get(served.id) is not asking:
                    return
                self._judge(served, problem, slow=slow)

    def _judge(self, served: Container, problem: str | None, *, slow: bool) -> None:
        """Show or hide a container by the result of its check."""
        before = (served.id in self.failed, served.id in self._slow)
        if before == (problem is not None, slow):
            return
        if problem is None:
            self._shown[served.id] = self.failed.pop(served.id)
            self._members.note(served.id, served.started_at)
        elif served.id in self._shown:
            print(f"container {served.id[:12]} fails its check: {problem}", flush=True)
            self.failed[served.id] = self._shown.pop(served.id)
            self._members.note(served.id, None)
        (self._slow.add if slow else self._slow.discard)(served.id)
        self.describe(served.id)
        if problem is None:
            self._look(served.id)  # Docker's events during the check were not handled
