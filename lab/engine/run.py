"""The operations on a stack: preview, up, refresh, destroy, outputs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from lab.engine.deployment import Deployment
from lab.engine.display import Display
from lab.engine.errors import EngineError
from lab.engine.handler import Catalogue, Connections
from lab.engine.ledger import Ledger
from lab.engine.monitor import EngineLog, LabMonitor
from lab.engine.program import ProgramError, project_name, run_program, stack_config
from lab.engine.refresh import REFRESH_SECONDS, Reality
from lab.engine.state import StateFile
from lab.engine.values import Value, has_secret, plain


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Which stack, of which program, kept where."""

    name: str
    folder: Path
    """The program's folder, with its ``Pulumi.yaml``."""
    config_file: Path
    state_folder: Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run goes about it."""

    refresh: bool = False
    """Read what really exists first."""
    refresh_limit: float = REFRESH_SECONDS
    """Seconds after which a refresh gives up on what does not answer."""
    target_types: tuple[str, ...] = ()
    """Of a refresh: only of resources of these types, with `*` wildcards."""
    ignore_protect: bool = False
    """Of a destruction: delete what is protected too."""


class Runner:
    """Carries the operations out; each returns the process's exit code."""

    def __init__(self, stack: Stack, catalogue: Catalogue, display: Display) -> None:
        self._stack = stack
        self._catalogue = catalogue
        self._display = display
        self._file = StateFile(stack.state_folder)

    def preview(self, options: Options) -> int:
        """Tell what an ``up`` would do, and touch nothing."""
        project, config = self._program()
        if options.refresh:
            self._display.line("a preview reads no real state: it starts from the recorded one")
        for pending in self._file.load().pending:
            self._display.line(
                f" ?? the last run was cut short at: {pending.kind} {pending.resource.name}"
            )
        return self._deploy(project, config, preview=True)

    def up(self, options: Options) -> int:
        """Make what exists what the program says."""
        project, config = self._program()
        with self._file.locked(), self._display.heartbeat():
            self._align(options)
            return self._deploy(project, config, preview=False)

    def refresh(self, options: Options) -> int:
        """Bring the state in line with what exists, and change nothing else."""
        with self._file.locked(), self._display.heartbeat():
            self._align(replace(options, refresh=True))
        return 0

    def destroy(self, options: Options, *, preview: bool = False) -> int:
        """Delete all that the state has, dependents first."""
        with self._file.locked(), self._display.heartbeat():
            if not preview:
                self._align(options)
            with self._connections() as connections:
                deployment = Deployment(
                    Ledger(self._file, read_only=preview),
                    self._catalogue,
                    connections,
                    self._display,
                    preview=preview,
                    ignore_protect=options.ignore_protect,
                )
                with self._stops_at_a_signal(deployment):
                    os.chdir(self._stack.folder)
                    deployment.destroy()
        self._display.summary(preview=preview)
        return 0

    def outputs(self, *, show_secrets: bool) -> dict[str, Value]:
        """Return what the program exported in its last complete run."""
        return {
            key: plain(value) if show_secrets or not has_secret(value) else "[secret]"
            for key, value in self._file.load().outputs.items()
        }

    def _program(self) -> tuple[str, dict[str, str]]:
        project = project_name(self._stack.folder)
        return project, stack_config(self._stack.config_file, project)

    def _align(self, options: Options) -> None:
        """Recover from a run that was cut short, and refresh if asked to."""
        state = self._file.load()
        if not (state.pending or options.refresh):
            return
        os.chdir(self._stack.folder)
        with self._connections() as connections:
            reality = Reality(self._catalogue, connections, self._display, options.refresh_limit)
            if state.pending:
                state = reality.recover(state)
                self._file.save(state)
            if options.refresh:
                self._file.save(reality.refresh(state, options.target_types))

    def _deploy(self, project: str, config: dict[str, str], *, preview: bool) -> int:
        with self._connections() as connections:
            deployment = Deployment(
                Ledger(self._file, read_only=preview),
                self._catalogue,
                connections,
                self._display,
                preview=preview,
            )
            try:
                with self._stops_at_a_signal(deployment):
                    run_program(
                        self._stack.folder,
                        project=project,
                        stack=self._stack.name,
                        config=config,
                        monitor=LabMonitor(deployment),
                        log=EngineLog(self._display),
                        preview=preview,
                    )
                    deployment.finish()
            except (ProgramError, EngineError) as error:
                # What failed in an operation has been told by then.
                if not deployment.over.is_set():
                    self._display.error("", str(error))
                return 1
        self._display.summary(preview=preview)
        return 0

    @contextmanager
    def _connections(self) -> Iterator[Connections]:
        connections = Connections(self._catalogue)
        try:
            yield connections
        finally:
            connections.close()

    @contextmanager
    def _stops_at_a_signal(self, deployment: Deployment) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM end the run after what has begun, the second at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's form
            if deployment.over.is_set():
                os._exit(128 + number)
            deployment.over.set()
            self._display.line(" !! stopping after what has begun; once more to stop at once")

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
