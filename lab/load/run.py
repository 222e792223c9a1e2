"""The open loop: each request is sent when it is due, whether or not earlier ones have finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lab.load.clients import Clients
from lab.load.plan import ClientKind, LoadPlan, mixed
from lab.load.section import Failed, Outcome, Section


class LoadRun:
    """One run, inside a running event loop."""

    def __init__(
        self, plan: LoadPlan, name: str, section: str, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        """Prepare a run.

        Args:
            plan: What to do.
            name: The name of the run, which is in the id of each POST.
            section: The first section's name.
            tell: A function that gets each section's result, once its last request is over.
        """
        self._plan = plan
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._clients = Clients(plan, name)
        self._kinds = mixed(plan.shares)
        self._began = self._loop.time()
        self._section = Section(name=section, began=self._began)
        self._made = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Future[str] = self._loop.create_future()

    async def run(self) -> None:
        """Send requests until `end` or a limit, and wait for the last answers."""
        self._loop.call_soon(self._tick)
        stop = self._loop.call_at(self._began + self._plan.most_seconds, self.end, "time")
        why = await self._ended
        stop.cancel()
        now = self._loop.time()
        section = self._section
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._clients.close()
        self._tell(section.result(now, why))

    def end(self, why: str = "stopped") -> None:
        """Stop making requests."""
        if not self._ended.done():
            self._ended.set_result(why)

    def mark(self, name: str) -> None:
        """Begin another section; the previous one is reported once its requests are over."""
        if self._ended.done():
            return
        before, now = self._section, self._loop.time()
        self._section = Section(name=name, began=now)
        task = self._loop.create_task(self._tell_when_over(before, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_when_over(self, section: Section, now: float) -> None:
        open_ones = [task for task in self._tasks if task.get_name() == str(id(section))]
        if open_ones:
            await asyncio.wait(open_ones)
        self._tell(section.result(now, None))

    def _tick(self) -> None:
        """Make every request that is due, and schedule itself for the next one."""
        if self._ended.done():
            return
        while (due := self._began + self._made / self._plan.rate) <= self._loop.time():
            if self._made >= self._plan.most_requests:
                self.end("count")
                return
            self._begin(due)
        self._loop.call_at(due, self._tick)

    def _begin(self, due: float) -> None:
        kind, number, section = next(self._kinds), self._made, self._section
        self._made += 1
        section.behind = max(section.behind, self._loop.time() - due)
        if len(self._tasks) >= self._plan.most_open:
            self._over(section, kind, due, f"not sent: {self._plan.most_open} in flight")
            return
        task = self._loop.create_task(self._make(section, kind, number, due), name=str(id(section)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, section: Section, kind: ClientKind, number: int, due: float) -> None:
        # A body is sent slowly on purpose; the time limit begins at its end.
        due += self._plan.sending_seconds(kind, number)
        reason: str | None = None
        try:
            async with asyncio.timeout_at(due + self._plan.timeout):
                await self._clients.of(kind)(number)
        except TimeoutError:
            reason = f"no answer within {self._plan.timeout:g} s"
        except Failed as failed:
            reason = str(failed)
        except Exception as error:
            # Without a record, this request would count as answered.
            reason = f"the load generator itself: {error!r}"
        self._over(section, kind, due, reason)

    def _over(self, section: Section, kind: ClientKind, due: float, reason: str | None) -> None:
        section.outcomes.append(
            Outcome(
                kind=kind,
                due=due - section.began,
                seconds=max(self._loop.time() - due, 0.0),
                reason=reason,
            )
        )
