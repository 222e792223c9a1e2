"""What a run says: a line where an operation begins, one where it ends, and one while it lasts."""

from __future__ import annotations

import difflib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lab.console import duration
from lab.engine.plan import Change, Op, Verdict, hidden
from lab.engine.redact import Redactor
from lab.engine.values import UNKNOWN, Value, plain, show_path

HEARTBEAT_SECONDS = 15
_LONG = 80

_DOING = {
    Op.CREATE: ("creating", "created", "create"),
    Op.UPDATE: ("updating", "updated", "update"),
    Op.REPLACE: ("replacing", "replaced", "replace"),
    Op.DELETE: ("deleting", "deleted", "delete"),
    Op.SAME: ("", "unchanged", ""),
}


class Display:
    """Prints lines, whole ones and without secrets, from any thread, and counts what was done."""

    def __init__(self, stream: TextIO | None = None, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._stream = stream or sys.stdout
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._secrets = Redactor()
        self._running: dict[str, tuple[float, float]] = {}
        self._began = time.monotonic()
        self.counts: Counter[Op] = Counter()

    def line(self, text: str) -> None:
        """Print one line, or several that belong together."""
        text = self.without_secrets(text)
        with self._lock:
            print(text, file=self._stream, flush=True)

    def hide(self, *values: Value) -> None:
        """Print nothing from now on of what is marked as secret in these."""
        for value in values:
            self._secrets.learn(value)

    def without_secrets(self, text: str) -> str:
        """Return the text as it may be shown."""
        return self._secrets.redacted(text)

    def error(self, where: str, text: str) -> None:
        """Print an error of a resource, or of the program when `where` is empty."""
        first, *rest = text.strip().splitlines() or ["failed without a message"]
        body = "".join(f"\n         {line}" for line in rest)
        self.line(f"  error: {where}{': ' if where else ''}{first}{body}")

    @contextmanager
    def operation(
        self, op: Op, type_token: str, name: str, *, counts: bool = True
    ) -> Iterator[None]:
        """Print that an operation begins and that it ended, and count it if it succeeded.

        Args:
            op: What is done.
            type_token: The resource's type.
            name: Its logical name.
            counts: False for a part of an operation that is counted elsewhere.
        """
        began = time.monotonic()
        doing, done, _ = _DOING[op]
        what = f"{type_token} {name}"
        self.line(f" {op.value:<2} {what} {doing}")
        key = f"{what} {doing}"
        with self._lock:
            self._running[key] = (began, began)
        try:
            yield
        except BaseException:
            self.line(f" !! {what} failed after {duration(time.monotonic() - began)}")
            raise
        else:
            self.line(f" {op.value:<2} {what} {done} ({duration(time.monotonic() - began)})")
            if counts:
                self.count(op)
        finally:
            with self._lock:
                self._running.pop(key, None)

    def count(self, op: Op) -> None:
        """Count an operation that has no line of its own."""
        with self._lock:
            self.counts[op] += 1

    def beat(self) -> None:
        """Print a line for each operation that has said nothing for a while."""
        now = time.monotonic()
        with self._lock:
            late = [
                (key, began)
                for key, (began, said) in self._running.items()
                if now - said >= self._heartbeat
            ]
            for key, began in late:
                self._running[key] = (began, now)
        for key, began in late:
            self.line(f" .. {key} ({duration(now - began)})")

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Print heartbeats while the block runs."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(min(1.0, self._heartbeat)):
                self.beat()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def planned(self, verdict: Verdict, type_token: str, name: str) -> None:
        """Print what an `up` would do to a resource."""
        self.count(verdict.op)
        if verdict.op is Op.SAME:
            return
        text = f" {verdict.op.value:<2} {type_token} {name} {_DOING[verdict.op][2]}"
        if verdict.reason:
            text += f" ({verdict.reason})"
        self.line("\n".join([text, *(_show(change) for change in verdict.changes)]))

    def summary(self, *, preview: bool) -> None:
        """Print how many resources were, or would be, created, changed and left alone."""
        same = self.counts[Op.SAME]
        todo = [op for op in (Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE) if self.counts[op]]
        if not todo:
            self.line(f"no changes: {same} unchanged")
        else:
            lines = [
                f"  {op.value:<2} {self.counts[op]} {'to ' if preview else ''}"
                f"{_DOING[op][2 if preview else 1]}"
                for op in todo
            ]
            self.line("\n".join(["resources:", *lines, f"     {same} unchanged"]))
        self.line(f"duration: {duration(time.monotonic() - self._began)}")


def _show(change: Change) -> str:
    path = show_path(change.path)
    mark = "+" if change.old is None else "-" if change.new is None else "~"
    cause = "  (forces replacement)" if change.replaces else ""
    if hidden(change):
        return f"      {mark} {path}: [secret]{cause}"
    old, new = plain(change.old), plain(change.new)
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        return "\n".join([f"      {mark} {path}:{cause}", *_text_diff(old, new)])
    if change.old is None:
        return f"      {mark} {path}: {_value(new)}{cause}"
    if change.new is None:
        return f"      {mark} {path}: {_value(old)}{cause}"
    return f"      {mark} {path}: {_value(old)} => {_value(new)}{cause}"


def _text_diff(old: str, new: str) -> Iterator[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
    return (f"          {line}" for line in lines if not line.startswith(("---", "+++")))


def _value(value: Value) -> str:
    text = "known after up" if value is UNKNOWN else json.dumps(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
