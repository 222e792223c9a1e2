import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.engine.deployment import Answer, Cancelled, Deployment
from lab.engine.display import Display
from lab.engine.errors import EngineError, PartlyCreated, Refused
from lab.engine.handler import Connections
from lab.engine.ledger import Ledger
from lab.engine.model import Goal
from lab.engine.plan import Op
from lab.engine.refresh import Reality
from lab.engine.state import StateFile
from lab.engine.values import UNKNOWN, Secret
from tests.unit.engine_fakes import CATALOGUE, STACK, goal, urn


class Lab:
    """A stack on the fake provider, run after run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = folder / "world"
        self.world.mkdir()
        self.file = StateFile(folder / "state")
        self.printed = ""

    def run(
        self,
        *goals: Goal,
        preview: bool = False,
        finish: bool = True,
        destroy: bool = False,
        ignore_protect: bool = False,
    ) -> dict[str, Answer]:
        """Register a provider and the goals, in order, as a program would."""
        stream = io.StringIO()
        self.display = Display(stream)
        connections = Connections(CATALOGUE)
        deployment = Deployment(
            Ledger(self.file, read_only=preview),
            CATALOGUE,
            connections,
            self.display,
            preview=preview,
            ignore_protect=ignore_protect,
        )
        answers: dict[str, Answer] = {}
        try:
            if destroy:
                deployment.destroy()
                return answers
            stack = goal("proj-test", type="pulumi:pulumi:Stack", custom=False)
            deployment.register(stack)
            provider = goal("p", {"folder": str(self.world)}, type="pulumi:providers:fake")
            provider_id = deployment.register(provider).id
            for each in goals:
                given = (
                    each
                    if each.provider or not each.custom
                    else with_provider(each, f"{provider.urn}::{provider_id}")
                )
                answers[each.name] = deployment.register(given)
            deployment.register_outputs(STACK, {"names": [each.name for each in goals]})
            if finish:
                deployment.finish()
        finally:
            connections.close()
            self.printed = stream.getvalue()
        return answers

    def refresh(self, limit: float = 0, target_types: tuple[str, ...] = ()) -> str:
        stream = io.StringIO()
        reality = Reality(CATALOGUE, Connections(CATALOGUE), Display(stream), limit)
        state = reality.refresh(self.file.load(), target_types)
        self.file.save(state)
        return stream.getvalue()

    @property
    def log(self) -> list[str]:
        """What was done to things since the last look."""
        path = self.world / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return [line for line in lines if line != "close"]

    def forget_log(self) -> None:
        (self.world / "log").write_text("")

    def things(self) -> list[str]:
        return sorted(path.name for path in self.world.glob("thing-*"))

    def counts(self) -> dict[str, int]:
        return {op.name: count for op, count in self.display.counts.items() if count}


def with_provider(each: Goal, reference: str) -> Goal:
    return replace(each, provider=reference)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("os.fsync", lambda _: None)  # slow, and no test cuts the power
    return Lab(tmp_path)


def test_up_again_changes_nothing(lab: Lab) -> None:
    first = lab.run(goal("a", {"color": "red"}))
    assert lab.log == ["create a"]
    second = lab.run(goal("a", {"color": "red"}))
    assert lab.log == []
    assert lab.counts() == {"SAME": 3}
    assert second["a"] == first["a"]


def test_names_are_generated_and_kept(lab: Lab) -> None:
    name = lab.run(goal("a", {"color": "red"}))["a"].id
    assert name.startswith("a-")
    assert len(name) == len("a-") + 7
    assert lab.run(goal("a", {"color": "blue"}))["a"].id == name
    assert lab.run(goal("a", {"size": 2}))["a"].id != name


def test_a_replacement_is_created_first_and_the_old_one_deleted_last(lab: Lab) -> None:
    lab.run(goal("a", {"size": 1}), goal("b", {"color": "x"}, dependencies=(urn("a"),)))
    lab.forget_log()
    lab.run(goal("a", {"size": 2}), goal("b", {"color": "y"}, dependencies=(urn("a"),)))
    assert lab.log == ["create a", "update b", "delete a"]
    assert lab.counts() == {"REPLACE": 1, "UPDATE": 1, "SAME": 2}
    assert len(lab.things()) == 2


def test_delete_before_replace_takes_dependents_along(lab: Lab) -> None:
    def goals(size: int) -> list[Goal]:
        a = goal("a", {"size": size}, type="fake:index:Fussy")
        uses = {"size": (a.urn,)}
        return [
            a,
            goal("b", {"size": 10 * size}, property_dependencies=uses, dependencies=(a.urn,)),
        ]

    lab.run(*goals(1))
    assert lab.log == ["create a", "create b"]
    lab.run(*goals(2))
    assert lab.log == ["delete b", "delete a", "create a", "create b"]
    assert lab.counts() == {"REPLACE": 2, "SAME": 2}


def test_dependents_deleted_early_that_do_not_come_back_are_forgotten(lab: Lab) -> None:
    a = goal("a", {"size": 1}, type="fake:index:Fussy")
    lab.run(a, goal("b", {"size": 1}, property_dependencies={"size": (a.urn,)}))
    lab.forget_log()
    lab.run(goal("a", {"size": 2}, type="fake:index:Fussy"))
    assert lab.log == ["delete b", "delete a", "create a"]
    assert [each.name for each in lab.file.load().resources] == ["proj-test", "p", "a"]


def test_what_left_the_program_is_deleted_in_reverse_order(lab: Lab) -> None:
    lab.run(goal("a"), goal("b", dependencies=(urn("a"),)), goal("c", dependencies=(urn("b"),)))
    lab.forget_log()
    lab.run()
    assert lab.log == ["delete c", "delete b", "delete a"]


def test_deleted_with_spares_the_provider_the_deletion(lab: Lab) -> None:
    lab.run(goal("vm"), goal("box", deleted_with=urn("vm")))
    lab.forget_log()
    lab.run()
    assert lab.log == ["delete vm"]
    assert [each.name for each in lab.file.load().resources] == ["proj-test", "p"]


def test_deleted_with_a_replaced_resource_means_replaced(lab: Lab) -> None:
    lab.run(goal("vm", {"size": 1}), goal("box", deleted_with=urn("vm")))
    lab.forget_log()
    lab.run(goal("vm", {"size": 2}), goal("box", deleted_with=urn("vm")))
    assert lab.log == ["create vm", "create box", "delete vm"]


def test_deleted_with_is_handed_down_by_components(lab: Lab) -> None:
    box = goal("group", type="my:own:Group", custom=False, deleted_with=urn("vm"))
    lab.run(goal("vm"), box, goal("child", parent=box.urn))
    lab.forget_log()
    lab.run()
    assert lab.log == ["delete vm"]


def test_ignored_changes_change_nothing_but_a_successor_has_them(lab: Lab) -> None:
    ignore = {"ignore_changes": ("color",)}
    lab.run(goal("a", {"color": "red", "size": 1}, **ignore))
    lab.run(goal("a", {"color": "blue", "size": 1}, **ignore))
    assert lab.counts() == {"SAME": 3}
    lab.run(goal("a", {"color": "blue", "size": 2}, **ignore))
    thing = json.loads((lab.world / lab.things()[0]).read_text())
    assert thing["color"] == "blue"


def test_secrets_reach_the_provider_and_stay_secret(lab: Lab) -> None:
    wanted = goal("a", {"hidden": Secret("k")}, additional_secret_outputs=("echo",))
    outputs = lab.run(wanted)["a"].outputs
    assert outputs["hidden"] == Secret("k")
    assert outputs["echo"] == Secret("made None")
    assert json.loads((lab.world / lab.things()[0]).read_text())["hidden"] == "k"
    assert '"k"' not in lab.printed
    lab.run(goal("a", {"hidden": Secret("l")}), preview=True)
    assert "~ hidden: [secret]" in lab.printed


def test_a_preview_decides_like_an_up_and_touches_nothing(lab: Lab) -> None:
    old = [goal("a", {"size": 1}), goal("b", {"color": "red"}), goal("c")]
    new = [goal("a", {"size": 2}), goal("b", {"color": "a\nb"}), goal("d")]
    lab.run(*old)
    lab.forget_log()
    before = (lab.folder / "state" / "state.json").read_text()
    answers = lab.run(*new, preview=True)
    counts = lab.counts()
    assert (lab.log, (lab.folder / "state" / "state.json").read_text()) == ([], before)
    assert answers["d"].id == ""
    assert "echo" not in answers["b"].outputs
    assert (
        "+- fake:index:Thing a replace\n      ~ size: 1 => 2  (forces replacement)" in lab.printed
    )
    lab.run(*new)
    assert (
        lab.counts() == counts == {"SAME": 2, "REPLACE": 1, "UPDATE": 1, "CREATE": 1, "DELETE": 1}
    )


def test_several_lines_are_shown_as_a_difference_of_lines(lab: Lab) -> None:
    lab.run(goal("a", {"color": "one\ntwo\nthree\n"}))
    lab.run(goal("a", {"color": "one\n2\nthree\n"}), preview=True)
    assert "          -two\n          +2\n" in lab.printed


def test_unknown_inputs_are_for_previews_only(lab: Lab) -> None:
    lab.run(goal("a", {"color": UNKNOWN}), preview=True)
    with pytest.raises(EngineError, match="unknown"):
        lab.run(goal("a", {"color": UNKNOWN}))


def test_a_failure_ends_the_run_and_deletes_nothing(lab: Lab) -> None:
    lab.run(goal("old"))
    with pytest.raises(EngineError, match="full"):
        lab.run(goal("a"), goal("b", {"fail": "create"}), goal("c"))
    assert "error: b: the world is full" in lab.printed
    assert [each.name for each in lab.file.load().resources] == ["proj-test", "p", "a", "old"]
    assert lab.file.load().pending == []


def test_after_a_failure_nothing_else_begins(lab: Lab) -> None:
    deployment = Deployment(
        Ledger(lab.file, read_only=False), CATALOGUE, Connections(CATALOGUE), Display(io.StringIO())
    )
    with pytest.raises(EngineError, match="provider"):
        deployment.register(goal("a", provider="urn::nowhere"))
    with pytest.raises(Cancelled):
        deployment.register(goal("b", provider="urn::nowhere"))
    with pytest.raises(Cancelled):
        deployment.finish()


def test_what_exists_but_does_not_work_is_kept_and_updated_next_time(lab: Lab) -> None:
    with pytest.raises(PartlyCreated):
        lab.run(goal("a", {"fail": "partly"}))
    assert [each.name for each in lab.file.load().resources][-1] == "a"
    lab.run(goal("a", {"fail": "partly"}))
    assert lab.counts()["UPDATE"] == 1
    lab.run(goal("a", {"fail": "partly"}))
    assert lab.counts() == {"SAME": 3}


def test_a_failed_update_leaves_the_old_inputs_in_the_state(lab: Lab) -> None:
    lab.run(goal("a", {"color": "red"}))
    with pytest.raises(EngineError, match="resists"):
        lab.run(goal("a", {"color": "blue", "fail": "update"}))
    assert lab.file.load().resources[-1].inputs["color"] == "red"


def test_a_failed_deletion_keeps_what_it_could_not_delete(lab: Lab) -> None:
    lab.run(goal("base"), goal("a", {"fail": "delete"}, dependencies=(urn("base"),)), goal("b"))
    lab.forget_log()
    with pytest.raises(EngineError, match="not everything could be deleted"):
        lab.run()
    assert lab.log == ["delete b"]
    assert [each.name for each in lab.file.load().resources] == ["proj-test", "p", "base", "a"]


@pytest.mark.parametrize("preview", [False, True])
def test_what_is_protected_is_neither_deleted_nor_replaced(lab: Lab, preview: bool) -> None:
    kept = goal("a", {"color": "red"}, protect=True, replacement_trigger=1)
    lab.run(kept)
    things = lab.things()
    lab.forget_log()
    with pytest.raises(EngineError, match=r"a \(.*\) is protected"):
        lab.run(replace(kept, replacement_trigger=2), preview=preview)
    with pytest.raises(EngineError, match="protected"):
        lab.run(replace(kept, replacement_trigger=2, delete_before_replace=True), preview=preview)
    # What was said in the last run counts for what is not registered any more.
    with pytest.raises(EngineError, match="protected"):
        lab.run(preview=preview)
    with pytest.raises(EngineError, match="protected"):
        lab.run(destroy=True, preview=preview)
    assert (lab.things(), lab.log) == (things, [])


def test_what_is_protected_no_more_is_replaced_at_once_and_deleted_in_the_next_run(
    lab: Lab,
) -> None:
    kept = goal("a", {"color": "red"}, protect=True, replacement_trigger=1)
    lab.run(kept)
    lab.forget_log()
    lab.run(replace(kept, protect=False, replacement_trigger=2))
    assert lab.log == ["create a", "delete a"]
    lab.run()
    assert lab.things() == []


def test_a_disposable_stack_is_destroyed_with_what_is_protected(lab: Lab) -> None:
    lab.run(goal("a", protect=True))
    lab.run(destroy=True, ignore_protect=True)
    assert lab.things() == []


def test_destroy_leaves_an_empty_state_and_can_be_resumed(lab: Lab) -> None:
    lab.run(goal("base"), goal("a", {"fail": "delete"}, dependencies=(urn("base"),)), goal("b"))
    with pytest.raises(EngineError, match="not everything"):
        lab.run(destroy=True)
    lab.run(goal("base"), goal("a", {"fail": ""}, dependencies=(urn("base"),)))
    lab.run(destroy=True)
    assert lab.things() == []
    assert lab.file.load().to_json() == {
        "version": 2,
        "resources": [],
        "pending": [],
        "outputs": {},
    }


def test_one_name_cannot_be_registered_twice(lab: Lab) -> None:
    with pytest.raises(EngineError, match="two resources are called a"):
        lab.run(goal("a"), goal("a"))


def test_an_input_that_is_not_implemented_is_refused_before_anything_is_made(lab: Lab) -> None:
    with pytest.raises(Refused, match="the input shape"):
        lab.run(goal("a", {"shape": "round"}))
    assert lab.things() == []


def test_a_provider_that_changes_is_updated_in_place(lab: Lab, tmp_path: Path) -> None:
    lab.run(goal("a"))
    lab.world = tmp_path / "elsewhere"
    lab.world.mkdir()
    lab.run(goal("a"))
    assert lab.counts() == {"UPDATE": 1, "SAME": 2}


def test_a_replaced_provider_still_deletes_what_it_made(lab: Lab) -> None:
    def goals(size: int) -> list[Goal]:
        other = goal(
            "q", {"folder": str(lab.world)}, type="pulumi:providers:fake", deleted_with=urn("vm")
        )
        return [goal("vm", {"size": size}), other]

    lab.run(*goals(1))
    provider = next(each for each in lab.file.load().resources if each.name == "q")
    lab.run(*goals(1), goal("a", provider=provider.reference))
    lab.run(*goals(2))
    assert lab.things() == [path for path in lab.things() if "thing-vm" in path]
    assert next(e for e in lab.file.load().resources if e.name == "q").id != provider.id


def test_refresh_drops_what_is_gone_so_that_up_makes_it_again(lab: Lab) -> None:
    lab.run(goal("a"), goal("b"))
    lab.forget_log()
    next(lab.world.glob("thing-a-*")).unlink()
    assert "fake:index:Thing a is gone" in lab.refresh()
    assert lab.log == ["read 2"]
    lab.run(goal("a"), goal("b"))
    assert lab.log == ["create a"]


def test_refresh_finds_drift_so_that_up_puts_it_right(lab: Lab) -> None:
    lab.run(goal("a", {"color": "red"}))
    path = next(lab.world.glob("thing-a-*"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "color": "pink"}))
    assert "a has changed: color" in lab.refresh()
    lab.run(goal("a", {"color": "red"}))
    assert lab.counts()["UPDATE"] == 1


def test_refresh_can_be_of_some_types_only(lab: Lab) -> None:
    lab.run(goal("a"), goal("f", type="fake:index:Fussy"))
    for path in lab.world.glob("thing-*"):
        path.unlink()
    lab.refresh(target_types=("*Fussy",))
    assert [each.name for each in lab.file.load().resources] == ["proj-test", "p", "a"]


def test_refresh_gives_up_on_what_does_not_answer(lab: Lab) -> None:
    lab.run(goal("a"))
    (lab.world / "unreachable").touch()
    with pytest.raises(EngineError, match="a: not read within 0 s: no answer"):
        lab.refresh()


def test_the_counts_say_what_was_done(lab: Lab) -> None:
    lab.run(goal("a"))
    stream = io.StringIO()
    display = Display(stream)
    display.counts.update(lab.display.counts)
    display.summary(preview=False)
    assert stream.getvalue().startswith("resources:\n  +  3 created\n     0 unchanged\nduration: ")
    assert lab.display.counts[Op.CREATE] == 3
