"""The agent's requests: to join, to leave, to evacuate."""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from remote import mark
from remote.names import OWN_LABEL, SLOT_LABEL
from remote.printable import printable
from remote.vm_agent import docker, polling, resources, traefik_api
from remote.vm_agent.asker import GONE, PRESENT, Asker
from remote.vm_agent.connections import await_quiet
from remote.vm_agent.container import Container
from remote.vm_agent.errors import AgentError
from remote.vm_agent.follower import Follower
from remote.vm_agent.images import Images
from remote.vm_agent.members import Members
from remote.vm_agent.view import View

_FORGET_SECONDS = 60.0
"""Traefik takes up a change within 0.1 s; on an emulated CPU under load it took up to 3 s. A new
agent may have no list for Traefik in its first 30 s."""
_DESCRIBE_SECONDS = 10.0
"""For Docker to describe the containers that are to stop."""


class Agent:
    """The daemon: the members, which of them Traefik sees, and their images."""

    def __init__(self, folder: Path) -> None:
        # Read each time: while the disk is full, a lost password cannot be made anew.
        self._login: Callable[[], Mapping[str, str]] = lambda: traefik_api.login(folder)
        self.members = Members(folder / "members.json")
        self.images = Images(folder / "images.json")
        self.view = View(self.members, lambda container: self.follower.look(container))
        self.follower = Follower(self.members, self.view, self._login)
        self._left: set[str] = set()
        """The containers that have begun to leave; who asked for that removes them."""

    def _await_health(self, container: str, seconds: float, asker: Asker) -> Container:
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.follower.found(container)
                self.images.comes(found)
                problem = found.health_problem() if found.running else "it is not running"
                if asker.gone():
                    raise AgentError(GONE)
                if problem is None:
                    if self.view.show(found):
                        return found
                    problem = "its process has just ended"
            except OSError as error:
                problem = f"Docker does not answer: {error}"
            if time.monotonic() > deadline:
                raise AgentError(f"is not healthy after {seconds:.0f} s: {problem}")
            polling.pause()

    def join(
        self, container: str, seconds: float, printed: str = "", asker: Asker = PRESENT
    ) -> str:
        """Show a container to Traefik once it is healthy, and wait until Traefik has taken it up.

        One that was no member is hidden and forgotten again if this fails, or if the asker does
        not take the answer: Pulumi then stops it without a ``leave``.

        Args:
            container: Its id.
            seconds: How long each of the two may take.
            printed: The output of the same join before, which is updated; empty if there was none.
            asker: Takes the mark.

        Returns:
            The mark with which it may leave.

        Raises:
            AgentError: It is not healthy in time, or nobody has taken the answer.
        """
        its = mark.made(printed)
        with self._joining(container):
            try:
                found = self._await_health(container, seconds, asker)
                polling.insist(lambda: resources.limit(found))
                self._await_listed(found, seconds, asker)
            except AgentError as error:
                log = docker.last_lines(container)
                said = printable(str(error))
                raise AgentError(f"container {container[:12]} {said}{log}") from None
            polling.insist(lambda: self._remove_leftovers(found))
            serve = (found, *polling.insist(traefik_api.traefiks))
            if not asker.takes(its):
                raise AgentError(f"container {container[:12]} {GONE}")
            if not self.members.joined(container, its):
                raise AgentError(f"container {container[:12]} has left meanwhile")
        self.images.serves(*serve)
        threading.Thread(target=self.images.sweep, daemon=True).start()
        return its

    @contextlib.contextmanager
    def _joining(self, container: str) -> Iterator[None]:
        """Have a container be a member, and hide it in the end if it has not joined."""
        self.members.begin_join(container)
        self._left.discard(container)
        try:
            yield
        finally:
            if self.members.end_join(container):
                self.view.hide(container)

    def _await_listed(self, container: Container, seconds: float, asker: Asker) -> None:
        def taken_up() -> bool:
            if asker.gone():
                raise AgentError(GONE)
            return traefik_api.sends_all(self._listed(container))

        if not polling.poll(taken_up, seconds):
            raise AgentError(f"is healthy, but Traefik does not take it up within {seconds:.0f} s")

    def _remove_leftovers(self, joined: Container) -> None:
        """Stop and remove containers for the same slot that were made before and never joined.

        An update that was killed has left them, and no state knows of them. One that leaves is none
        of them, nor is one with requests in flight: it was leaving when the agent was restarted.
        """
        slot = joined.labels.get(SLOT_LABEL)
        if slot is None:
            return
        wanted = json.dumps({"label": [f"{SLOT_LABEL}={slot}"]})
        there = docker.list_at(f"/containers/json?all=1&filters={wanted}".replace(" ", ""))
        own = next((each["Created"] for each in there if each["Id"] == joined.id), 0)
        for each in there:
            if each["Created"] >= own or self.members.get(each["Id"]) is not None:
                continue
            if each["Id"] in self._left:
                continue
            try:
                found = docker.find(each["Id"])
            except OSError as error:
                print(f"container {each['Id'][:12]} of {slot} stays: {error}", flush=True)
                continue
            if found is None or not {SLOT_LABEL, OWN_LABEL} <= set(found.labels):
                continue
            if found.running and found.connections():
                print(f"container {found.id[:12]} of {slot} stays: it has requests in flight")
                continue
            threading.Thread(target=_end, args=(found.id,), daemon=True).start()

    def leave(self, container: str, grace: float, printed: str | None = None) -> str:
        """Hide a container, and wait until its requests in flight are over or the time is.

        Args:
            container: Its id.
            grace: The time, in seconds.
            printed: The output of the join to undo; None for any.

        Returns:
            A text for the user.
        """
        member = self.members.get(container)
        if member is not None and mark.is_another(member.mark, printed):
            return "it has joined again since, so it stays"
        self._left.add(container)  # before it is no member, or a join would remove it
        self.members.remove(container)
        self.view.hide(container)
        found = polling.insist(lambda: docker.find(container))
        if found is not None:
            self._look_after_images(found)
        if found is None or not found.running:
            return "it does not run"
        forgotten = polling.poll(
            lambda: traefik_api.sends_none(self._listed(found)), _FORGET_SECONDS
        )
        late = not forgotten and True in self._listed(found)
        said = await_quiet(found.connections, grace)
        if not Path(f"/proc/{found.pid}").exists():
            said += "; its process has ended"
        if late:
            return f"Traefik has not forgotten it after {_FORGET_SECONDS:.0f} s; {said}"
        return said

    def _look_after_images(self, leaves: Container) -> None:
        if leaves.plain_service not in self.view.services():
            self.images.ends(leaves.plain_service)
        threading.Thread(target=self.images.sweep, daemon=True).start()

    def evacuate(self, grace: float) -> str:
        """Wait until no request is in flight or the time is over, and stop all containers."""
        ids = [member.id for member in self.members]
        try:
            found = docker.find_all(ids, _DESCRIBE_SECONDS)
        except OSError as error:
            print(f"Docker describes no container: {error}", flush=True)
            found = []
        running = [each for each in found if each.running]
        said = await_quiet(lambda: sum(each.connections() for each in running), grace)
        # One that Docker does not describe may run as well.
        off = {each.id for each in found if not each.running}
        if stops := [each for each in ids if each not in off]:
            if len(stops) > len(running):
                said += f"; unknown for {len(stops) - len(running)} containers"
            words = ("docker", "stop", "--time", f"{grace:.0f}", *stops)
            try:
                subprocess.run(words, check=False, timeout=grace + _DESCRIBE_SECONDS)
            except subprocess.TimeoutExpired:
                said += "; Docker has not stopped all containers in time"
        return said

    def _listed(self, container: Container) -> list[bool | None]:
        """Return for each Traefik whether it sends requests to the container; None if unknown."""
        return traefik_api.sends(container, polling.insist(traefik_api.traefiks), self._login())


def _end(container: str) -> None:
    """Stop a container within its own time for that, and remove it."""
    subprocess.run(("docker", "stop", container), check=False)
    subprocess.run(("docker", "rm", "--force", container), check=False)
