from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.engine.errors import EngineError, Refused
from lab.engine.model import Resource
from lab.engine.plan import (
    Op,
    Verdict,
    changes_between,
    decide,
    delete_order,
    dependents_to_replace,
    keep_ignored,
)
from lab.engine.values import UNKNOWN, Secret, show_path
from tests.unit.engine_fakes import CATALOGUE, Fussy, Thing, goal, resource, urn

PATIENT = settings(deadline=None, max_examples=60)  # machines under load are slow at times
THING = Thing.schema
FUSSY = Fussy.schema


def verdict(old: dict[str, Any], new: dict[str, Any], **options: Any) -> Verdict:
    wanted = goal("a", new, **options)
    return decide(wanted, new, resource("a", old), THING, set())


def test_what_is_not_in_the_state_is_created() -> None:
    assert decide(goal("a"), {}, None, THING, set()).op is Op.CREATE


def test_equal_inputs_are_the_same() -> None:
    assert verdict({"color": "red", "tags": []}, {"color": "red"}).op is Op.SAME


def test_a_changed_input_is_an_update_and_is_named() -> None:
    result = verdict({"color": "red"}, {"color": "blue"})
    assert result.op is Op.UPDATE
    assert [(show_path(c.path), c.old, c.new) for c in result.changes] == [("color", "red", "blue")]


def test_an_input_that_forces_replacement_replaces_after_creation() -> None:
    result = verdict({"size": 1, "color": "red"}, {"size": 2, "color": "blue"})
    assert result.op is Op.REPLACE
    assert not [c for c in result.changes if c.path == ("color",) and c.replaces]
    assert [c.path for c in result.changes if c.replaces] == [("size",)]


def test_a_secret_that_becomes_plain_is_no_change() -> None:
    assert verdict({"color": Secret("red")}, {"color": "red"}).op is Op.SAME


def test_the_order_of_a_set_does_not_matter_where_its_secret_begins() -> None:
    assert verdict({"tags": Secret(["b", "a"])}, {"tags": ["a", Secret("b")]}).op is Op.SAME


def test_the_order_of_a_set_does_not_matter_and_that_of_a_list_does() -> None:
    assert verdict({"tags": ["a", "b"]}, {"tags": ["b", "a"]}).op is Op.SAME
    parts = [{"id": 1}, {"id": 2}]
    assert verdict({"parts": parts}, {"parts": parts[::-1]}).op is Op.UPDATE


def test_one_block_more_replaces_where_another_value_only_updates() -> None:
    assert verdict({"parts": [{"id": 1}]}, {"parts": [{"id": 2}]}).op is Op.UPDATE
    assert verdict({"parts": [{"id": 1}]}, {"parts": [{"id": 1}, {"id": 2}]}).op is Op.REPLACE
    assert verdict({"parts": [{"id": 1}]}, {"parts": []}).op is Op.REPLACE


def test_an_unknown_input_counts_as_changed() -> None:
    assert verdict({"color": "red"}, {"color": UNKNOWN}).op is Op.UPDATE
    assert verdict({"size": 1}, {"size": UNKNOWN}).op is Op.REPLACE
    assert verdict({"parts": [{"id": 1}]}, {"parts": UNKNOWN}).op is Op.REPLACE


def test_ignored_changes_are_taken_back() -> None:
    old = {"color": "red", "settings": {"a": 1, "b": 1}}
    new = {"color": "blue", "settings": {"a": 2, "b": 2}, "size": 1}
    assert keep_ignored(new, old, ["color", "settings.a", "size"]) == {
        "color": "red",
        "settings": {"a": 1, "b": 2},
    }


def test_replace_on_changes_turns_an_update_into_a_replacement() -> None:
    result = verdict(
        {"settings": {"a": 1}}, {"settings": {"a": 2}}, replace_on_changes=["settings"]
    )
    assert result.op is Op.REPLACE
    result = verdict({"color": "red"}, {"color": "blue"}, replace_on_changes=("settings",))
    assert result.op is Op.UPDATE


@pytest.mark.parametrize(
    ("old", "new", "op"),
    [
        ("a", "a", Op.SAME),
        ("a", "b", Op.REPLACE),
        (None, "b", Op.SAME),
        ("a", None, Op.SAME),
        ("a", UNKNOWN, Op.REPLACE),
        (Secret("a"), "a", Op.SAME),
    ],
)
def test_the_replacement_trigger(old: object, new: object, op: Op) -> None:
    wanted = goal("a", replacement_trigger=new)
    assert decide(wanted, {}, resource("a", replacement_trigger=old), THING, set()).op is op


@pytest.mark.parametrize(
    "options", [{"replace_with": (urn("vm"),)}, {"deleted_with": urn("vm")}], ids=str
)
def test_what_goes_with_a_replaced_resource_is_replaced_too(options: dict[str, Any]) -> None:
    old = resource("a", **options)
    assert decide(goal("a", **options), {}, old, THING, {urn("vm")}).op is Op.REPLACE
    assert decide(goal("a", **options), {}, old, THING, {urn("other")}).op is Op.SAME


def test_a_type_can_ask_to_be_deleted_first_and_the_program_can_overrule_it() -> None:
    old = resource("a", {"size": 1}, type="fake:index:Fussy", autonamed=True)

    def first(option: bool | None, schema: Any = FUSSY) -> bool:
        wanted = goal("a", {"size": 2}, type=schema.type, delete_before_replace=option)
        return decide(wanted, {"size": 2}, old, schema, set()).delete_first

    assert first(None)
    assert not first(False)
    assert first(True)
    assert not first(None, THING)
    assert first(True, THING)


def test_the_type_is_not_asked_when_something_else_replaces_it() -> None:
    old = resource("a", type="fake:index:Fussy", deleted_with=urn("vm"), autonamed=True)
    wanted = goal("a", type="fake:index:Fussy", deleted_with=urn("vm"))
    assert not decide(wanted, {}, old, FUSSY, {urn("vm")}).delete_first


def test_a_name_that_the_program_gave_cannot_be_there_twice() -> None:
    old = {"name": "fixed", "size": 1}
    assert verdict(old, {"name": "fixed", "size": 2}).delete_first


def test_what_was_deleted_for_a_successor_is_created() -> None:
    old = resource("a", {"color": "red"}, pending_replacement=True)
    assert decide(goal("a"), {"color": "red"}, old, THING, set()).op is Op.REPLACE


def test_a_failed_start_is_an_update_next_time() -> None:
    old = resource("a", init_errors=("it does not start",))
    result = decide(goal("a"), {}, old, THING, set())
    assert result.op is Op.UPDATE
    assert "it does not start" in result.reason


def test_unknown_inputs_are_refused_by_their_path() -> None:
    with pytest.raises(Refused, match=r"fake:index:Thing: .* the input parts\[0\]\.weight"):
        THING.check({"parts": [{"id": 1, "weight": 2}]})
    with pytest.raises(Refused, match="the input shape"):
        THING.check({"shape": UNKNOWN})
    THING.check({"parts": UNKNOWN, "settings": {"anything": {"at": "all"}}, "tags": []})


def test_missing_inputs_are_named() -> None:
    schema = type(THING)(type="t", inputs={"a": next(iter(THING.inputs.values()))}, required=("a",))
    with pytest.raises(EngineError, match="the input a is required"):
        schema.check({})


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(Refused, match="does not implement the resource type other:index:Thing"):
        CATALOGUE.check_type("other:index:Thing", "", has_provider=True)
    with pytest.raises(Refused, match=r"fake 1\.0\.0, and the program asks for 2\.0\.0"):
        CATALOGUE.check_type("fake:index:Thing", "2.0.0", has_provider=True)
    with pytest.raises(Refused, match="no default provider of fake"):
        CATALOGUE.check_type("fake:index:Thing", "", has_provider=False)


plain_values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2)
    ),
    max_leaves=6,
)
props = st.dictionaries(st.sampled_from(["a", "b", "c"]), plain_values, max_size=3)


@PATIENT
@given(props)
def test_nothing_differs_from_itself(inputs: dict[str, Any]) -> None:
    assert changes_between(inputs, inputs) == []


@PATIENT
@given(props, props)
def test_differences_are_the_same_seen_from_both_sides(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there = {(c.path, repr(c.old), repr(c.new)) for c, _ in changes_between(one, other)}
    back = {(c.path, repr(c.new), repr(c.old)) for c, _ in changes_between(other, one)}
    assert there == back


def dependents(root: str, olds: list[Resource], done: tuple[str, ...] = ()) -> list[str]:
    start = next(each for each in olds if each.name == root)
    found = dependents_to_replace(start, olds, CATALOGUE.schemas, done)
    return [each.name for each in found]


def test_only_dependents_that_would_be_replaced_are_deleted_first() -> None:
    olds = [
        resource("root"),
        resource("sized", {"size": 1}, property_dependencies={"size": (urn("root"),)}),
        resource("painted", {"color": 1}, property_dependencies={"color": (urn("root"),)}),
        resource("after", dependencies=(urn("root"),)),
        resource("with", deleted_with=urn("sized")),
        resource("along", replace_with=(urn("root"),)),
        resource(
            "asked",
            property_dependencies={"color": (urn("root"),)},
            replace_on_changes=("color",),
        ),
    ]
    assert dependents("root", olds) == ["sized", "with", "along", "asked"]
    assert dependents("root", olds, done=(urn("sized"),)) == ["along", "asked"]


def names(rounds: list[list[Resource]]) -> list[list[str]]:
    return [sorted(each.name for each in one) for one in rounds]


def test_dependents_are_deleted_before_what_they_need() -> None:
    olds = [
        resource("pool"),
        resource("disk", dependencies=(urn("pool"),)),
        resource("vm", property_dependencies={"parts": (urn("disk"),)}),
        resource("box", deleted_with=urn("vm")),
        resource("lone"),
    ]
    assert names(delete_order(olds)) == [["box", "lone"], ["vm"], ["disk"], ["pool"]]


def test_a_provider_and_a_parent_outlive_what_needs_them() -> None:
    provider = resource("p", type="pulumi:providers:fake", id="1")
    parent = resource("parent", type="my:own:Component", custom=False)
    child = resource("child", provider=provider.reference, parent=parent.urn)
    assert names(delete_order([provider, parent, child])) == [["child"], ["p", "parent"]]


def test_two_generations_that_seem_to_need_each_other_go_one_after_the_other() -> None:
    one = resource("a", dependencies=(urn("b"),))
    other = resource("b", dependencies=(urn("a"),))
    assert names(delete_order([one, other])) == [["b"], ["a"]]


@PATIENT
@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
        )
    )
)
def test_everything_is_deleted_once_and_after_its_dependents(
    graph: tuple[int, set[tuple[int, int]]],
) -> None:
    count, edges = graph
    resources = [
        resource(str(i), dependencies=tuple(urn(str(j)) for a, j in edges if a == i and j < i))
        for i in range(count)
    ]
    rounds = delete_order(resources)
    assert sorted(each.name for one in rounds for each in one) == sorted(map(str, range(count)))
    when = {each.name: index for index, one in enumerate(rounds) for each in one}
    assert all(when[str(a)] < when[str(b)] for a, b in edges if b < a)
