"""One run over a stack: decides on each registration, carries it out, and deletes at the end.

Registrations come from many threads. Decisions are taken one at a time, operations run in
parallel, and the state is on disk before and after each.
"""

from __future__ import annotations

import os
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lab.engine import plan
from lab.engine.display import Display
from lab.engine.errors import EngineError
from lab.engine.executor import Executor, outputs_with_inputs
from lab.engine.handler import Catalogue, Connections
from lab.engine.ledger import Ledger
from lab.engine.model import (
    STACK_TYPE,
    Goal,
    Resource,
    resource_for,
)
from lab.engine.plan import Op, Verdict
from lab.engine.schema import Schema
from lab.engine.values import Props, has_unknown

PARALLEL = 4 * (os.cpu_count() or 1)
"""Operations at a time, as many as the Pulumi CLI's default."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a registration is told."""

    id: str
    """Empty as long as it is not known."""
    outputs: Props


@dataclass(frozen=True, kw_only=True)
class Step:
    """A decision, ready to be carried out."""

    verdict: Verdict
    new: Resource
    old: Resource | None
    first: tuple[Resource, ...] = ()
    """What is deleted before the creation, in order."""


class Cancelled(EngineError):  # noqa: N818 - it is no error of the resource
    """The run is over for what has not begun, because something else failed."""


class Deployment:
    """A preview, an update or a destruction, on a state that nobody else writes."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Catalogue,
        connections: Connections,
        display: Display,
        *,
        preview: bool = False,
        ignore_protect: bool = False,
    ) -> None:
        for resource in ledger.before:
            display.hide(resource.inputs, resource.outputs, resource.replacement_trigger)
        self._ledger = ledger
        self._catalogue = catalogue
        self._executor = Executor(ledger, catalogue, connections, display)
        self._display = display
        self._preview = preview
        self._ignore_protect = ignore_protect
        self._deciding = threading.Lock()
        self._slots = threading.Semaphore(PARALLEL)
        self._goals: dict[str, Goal] = {}
        self._replaced: set[str] = set()
        self._deleted: set[str] = set()
        self._exported: Props = {}
        self.over = threading.Event()
        """Set when something failed: what has begun is finished, and nothing else begins."""

    def register(self, goal: Goal, version: str = "") -> Answer:
        """Decide what to do for a registration, do it, and return the result.

        Raises:
            EngineError: It failed, or the run is over because something else did.
        """
        self._display.hide(goal.inputs, goal.replacement_trigger)
        try:
            with self._deciding:
                self._stop_if_over()
                step = self._decide(goal, version)
            return self._carry_out(step)
        except Cancelled:
            raise
        except Exception as error:
            self.fail(goal.name, error)
            raise

    def fail(self, name: str, error: Exception) -> None:
        """Report what failed, and let nothing else begin."""
        self.over.set()
        self._display.error(name, _text(error))

    def register_outputs(self, urn: str, outputs: Props) -> None:
        """Keep what a component, or the stack, says of itself at its end."""
        self._display.hide(outputs)
        resource = self._ledger.new(urn)
        if resource is not None:
            resource.outputs = outputs
            if resource.type == STACK_TYPE:
                self._exported = outputs

    def exported_before(self) -> Props:
        """Return what the program exported in its last complete run."""
        return self._ledger.exported_before

    def resources_before(self) -> Props:
        """Return the type and outputs of each resource before this run, by its URN."""
        return {
            urn: {"type": resource.type, "outputs": resource.outputs}
            for urn, resource in self._ledger.olds.items()
        }

    def finish(self) -> None:
        """Delete what the program no longer has and what was replaced, then keep its exports.

        Raises:
            EngineError: A deletion failed; the others of its round were carried out.
        """
        self._stop_if_over()
        self._delete_all(
            [
                resource
                for resource in self._ledger.left()
                if resource.delete or self._ledger.new(resource.urn) is None
            ]
        )
        self._ledger.set_outputs(self._exported)

    def destroy(self) -> None:
        """Delete everything, dependents first.

        Raises:
            EngineError: A deletion failed; the others of its round were carried out.
        """
        self._delete_all(self._ledger.left())
        self._ledger.set_outputs({})

    def _stop_if_over(self) -> None:
        if self.over.is_set():
            raise Cancelled("the run is over because an operation failed")

    def _decide(self, goal: Goal, version: str) -> Step:
        if goal.urn in self._goals:
            raise EngineError(f"{goal.type}: two resources are called {goal.name}")
        # The engine hands this option down to a component's children; the SDK does not.
        parent = self._goals.get(goal.parent)
        if parent is not None and not goal.deleted_with:
            goal = replace(goal, deleted_with=parent.deleted_with)
        schema = self._schema(goal, version)
        old = self._ledger.olds.get(goal.urn)
        inputs = (
            plan.keep_ignored(goal.inputs, old.inputs, goal.ignore_changes) if old else goal.inputs
        )
        if schema is not None:
            schema.check(inputs)
        self._complain(goal, inputs, old)
        step = self._step(goal, inputs, old, schema)
        self._goals[goal.urn] = goal
        return step

    def _schema(self, goal: Goal, version: str) -> Schema | None:
        if not goal.custom:
            return None
        self._catalogue.check_type(goal.type, version, has_provider=bool(goal.provider))
        return self._catalogue.schemas[goal.type]

    def _complain(self, goal: Goal, inputs: Props, old: Resource | None) -> None:
        if not self._preview and has_unknown(inputs):
            raise EngineError("an input is unknown, which only a preview allows")
        if old is not None and old.custom != goal.custom:
            raise EngineError("the lab engine cannot turn a resource into a component or back")

    def _step(self, goal: Goal, inputs: Props, old: Resource | None, schema: Schema | None) -> Step:
        autonamed = schema is not None and schema.autonamed and inputs.get("name") is None
        if autonamed and old is not None and old.autonamed:
            inputs = {**inputs, "name": old.inputs["name"]}
        if goal.urn in self._deleted:
            self._deleted.discard(goal.urn)
            verdict = Verdict(op=Op.REPLACE, reason="it depends on what is replaced")
        else:
            verdict = plan.decide(goal, inputs, old, schema, self._replaced)
        if verdict.op is Op.REPLACE:
            # Not the old one's word alone: what is protected no more may go in the same run.
            if goal.protect and old is not None:
                self._spare(old)
            # A change is ignored for as long as the resource lives; its successor has it.
            inputs = goal.inputs
            self._replaced.add(goal.urn)
        if autonamed and verdict.op in (Op.CREATE, Op.REPLACE):
            inputs = {**inputs, "name": f"{goal.name}-{secrets.token_hex(4)[:7]}"}
        new = resource_for(goal, inputs, autonamed=autonamed)
        return Step(verdict=verdict, new=new, old=old, first=self._delete_first(verdict, old))

    def _delete_first(self, verdict: Verdict, old: Resource | None) -> tuple[Resource, ...]:
        if old is None or not verdict.delete_first or old.pending_replacement:
            return ()
        dependents = plan.dependents_to_replace(
            old, self._ledger.before, self._catalogue.schemas, {*self._goals, *self._deleted}
        )
        for resource in dependents:
            self._spare(resource)
        self._deleted |= {old.urn, *(resource.urn for resource in dependents)}
        return (*reversed(dependents), old)

    def _spare(self, resource: Resource) -> None:
        if resource.protect and not self._ignore_protect:
            raise EngineError(f"{resource.name} ({resource.type}) is protected")

    def _carry_out(self, step: Step) -> Answer:
        new, old, op = step.new, step.old, step.verdict.op
        if self._preview:
            self._display.planned(step.verdict, new.type, new.name)
            return self._foresee(step)
        if op is Op.SAME or not new.custom:
            self._display.count(op)
            if old is not None:
                new.id, new.outputs = old.id, old.outputs
            self._ledger.settle(add=new, drop=old)
            return _answer(new)
        with self._slots:
            self._stop_if_over()
            for resource in step.first:
                self._executor.delete(resource, self._deleted, successor_follows=True)
            with self._display.operation(op, new.type, new.name):
                if op is Op.UPDATE and old is not None:
                    self._executor.update(new, old)
                else:
                    self._executor.create(new, old)
        return _answer(new)

    def _foresee(self, step: Step) -> Answer:
        """Return what is known of a result that an `up` would have; the SDK knows what is not."""
        new, old, op = step.new, step.old, step.verdict.op
        if old is not None and op is Op.SAME:
            new.id, new.outputs = old.id, old.outputs
        elif old is not None and op is Op.UPDATE:
            schema = self._catalogue.schemas.get(new.type)
            lost = schema.computed if schema is not None else frozenset()
            kept = {key: value for key, value in old.outputs.items() if key not in lost}
            new.id, new.outputs = old.id, {**kept, **outputs_with_inputs(new, {})}
        elif new.custom:
            new.outputs = outputs_with_inputs(new, {})
        replaced = op is Op.REPLACE
        self._ledger.settle(
            add=new, drop=None if replaced else old, condemn=old if replaced else None
        )
        return _answer(new)

    def _delete_all(self, condemned: list[Resource]) -> None:
        for resource in condemned:
            if not resource.delete:
                self._spare(resource)
        self._deleted |= {resource.urn for resource in condemned}
        for round_ in plan.delete_order(condemned):
            with ThreadPoolExecutor(PARALLEL, thread_name_prefix="delete") as pool:
                fine = list(pool.map(self._try_delete, round_))
            if not all(fine):
                self.over.set()
                raise EngineError("not everything could be deleted: see above")
        self._ledger.forget(self._deleted)

    def _try_delete(self, resource: Resource) -> bool:
        """Delete at the end of the run; return whether that succeeded."""
        if self._preview:
            if not resource.delete:
                self._display.planned(Verdict(op=Op.DELETE), resource.type, resource.name)
        elif resource.pending_replacement:
            self._display.count(Op.DELETE)
            self._ledger.settle(drop=resource)
        else:
            try:
                self._executor.delete(resource, self._deleted)
            except Exception as error:  # one failure must not hide what the others of a round say
                self._display.error(resource.name, _text(error))
                return False
        return True


def _answer(resource: Resource) -> Answer:
    # A component sets its outputs itself; the ones of the last run may speak of what is gone.
    return Answer(id=resource.id, outputs=resource.outputs if resource.custom else {})


def _text(error: Exception) -> str:
    if isinstance(error, EngineError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"
