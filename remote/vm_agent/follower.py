"""Following Docker's events, so that the view is of the containers' present state."""

import json
import threading
import time
from collections.abc import Callable, Mapping

from remote.names import OWN_LABEL, SLOT_LABEL
from remote.vm_agent import docker, kept, polling, traefik_api
from remote.vm_agent.container import Container
from remote.vm_agent.errors import AgentError
from remote.vm_agent.members import Members
from remote.vm_agent.view import WHO_SERVED, View

_TELLING = ("start", "die", "destroy", "health_status", "pause", "unpause")
"""The first words of those events of Docker that may change whether a container serves."""

_PATIENCE_SECONDS = docker.DOCKER_SECONDS
"""Seconds for which Traefik gets no list, so that it keeps what it has, if Docker does not describe
one container that served before. Docker then is starting it (2 minutes on a busy emulated CPU) or
pausing it, or its storage hangs."""


class Follower:
    """Inspects members again after their events, and shows or hides them."""

    def __init__(
        self, members: Members, view: View, login: Callable[[], Mapping[str, str]]
    ) -> None:
        self._members = members
        self._view = view
        self._login = login
        self._looks: dict[str, object] = {}
        """The latest inspection of each member, while it lasts; the view's lock is for it."""

    def follow(self) -> None:
        """Inspect a member again after each of its events in Docker; never returns."""
        while True:
            connection = docker.DockerConnection(timeout=None)
            try:
                connection.request("GET", '/events?filters={"type":["container"]}')
                answer = connection.getresponse()
                if WHO_SERVED in self._view.unknown:
                    self._find_members()
                for member in self._members:
                    self.look(member.id)
                while line := answer.readline():
                    told = json.loads(line)
                    container = told["Actor"]["ID"]
                    if told["Action"].startswith(_TELLING) and self._members.get(container):
                        self.look(container)
            except Exception as odd:  # without this thread, no event would be noticed
                print(f"Docker's events cannot be read: {odd!r}", flush=True)
            finally:
                connection.close()
            polling.pause()  # Docker is being restarted

    def _find_members(self) -> None:
        """Find out which containers had joined, if the file is lost.

        Traefik sends requests to these. After a reboot no Traefik knows; then it
        is the oldest container of each slot, once it is healthy: a later one may be left from an
        update that was killed, and has never joined.

        Raises:
            OSError: Docker does not answer.
        """
        there = sorted(docker.listed(SLOT_LABEL), key=lambda each: each["Created"])
        found = [each for each in docker.find_all(one["Id"] for one in there) if each.running]
        ours = [each for each in found if each.service and SLOT_LABEL in each.labels]
        # The members whose entries in the file were valid.
        taken = {each.labels[SLOT_LABEL] for each in ours if self._members.get(each.id)}
        ours = [each for each in ours if each.labels[SLOT_LABEL] not in taken]
        asked, login = traefik_api.traefiks(), self._login()
        served = {each.id for each in ours if any(traefik_api.sends(each, asked, login))}
        if not served:
            ours = [each for each in ours if OWN_LABEL in each.labels]
        first = {each.labels[SLOT_LABEL]: each.id for each in reversed(ours)}
        for each in ours:
            slot = each.labels[SLOT_LABEL]
            joined = each.id in (served or first.values())
            if joined:
                self._members.put(each.id, each.started_at if served else None)
            said = "assumed to have joined" if joined else "not known to have joined"
            print(f"container {each.id[:12]} of {slot} is {said}", flush=True)
        with self._view.changed:
            self._view.unknown |= self._members.served()
            self._view.describe(WHO_SERVED)

    def look(self, container: str) -> None:
        """Show or hide a member by its present state in Docker, in a separate thread."""
        look = object()
        with self._view.changed:
            self._looks[container] = look
        threading.Thread(target=self._settle, args=(container, look), daemon=True).start()

    def _settle(self, container: str, look: object) -> None:
        """Inspect a member until it serves, does not run, or has a newer event."""
        began = time.monotonic()
        while not self._settled(container, look):
            if container in self._view.unknown and time.monotonic() - began >= _PATIENCE_SECONDS:
                self._leave_out(container)
            polling.pause()
        with self._view.changed:
            if self._looks.get(container) is look:
                del self._looks[container]

    def _leave_out(self, container: str) -> None:
        """Have the other containers not wait for one of which Docker says nothing."""
        try:
            docker.listed(SLOT_LABEL)
        except OSError:
            return  # it says nothing of any
        with self._view.changed:
            if container in self._view.unknown:
                print(f"container {container[:12]} is hidden until Docker describes it", flush=True)
                self._view.describe(container)

    def _settled(self, container: str, look: object) -> bool:
        try:
            found = self.found(container)
            member = self._members.get(container)
            known = member is not None and member.healthy_since == found.started_at
            if self._view.still_fails(found):
                return True
            serves = found.running and (known or found.health_problem() is None)
            with self._view.changed:
                if self._looks.get(container) is not look:
                    return True
                if serves and self._view.show(found):
                    return True
                self._view.hide(container)
                return not found.running
        except AgentError:
            self._view.hide(container)
            return True
        except OSError as error:  # Docker is busy with it or being restarted
            with self._view.changed:
                if isinstance(error, docker.DockerError) and container in self._view.unknown:
                    self._view.describe(container)  # so that the others do not wait for it
                return self._looks.get(container) is not look
        except Exception as odd:  # otherwise it would never be inspected again
            print(f"container {container[:12]} cannot be inspected: {odd!r}", flush=True)
            time.sleep(kept.SAVE_SECONDS)
            return self._looks.get(container) is not look

    def found(self, container: str) -> Container:
        """Return a member.

        Raises:
            AgentError: It is no longer a member.
            OSError: Docker does not answer.
        """
        found = docker.find(container)
        if found is None:
            self._members.remove(container)
            raise AgentError("there is no such container")
        if self._members.get(container) is None:
            raise AgentError("it has left meanwhile")
        return found
