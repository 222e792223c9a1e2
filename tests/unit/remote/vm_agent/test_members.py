"""The file of the containers that have joined."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.vm_agent.agent import Agent
from remote.vm_agent.container import is_id
from remote.vm_agent.members import Members
from tests.support.printed import own_prints


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_file_ends_the_agent(tmp_path_factory: pytest.TempPathFactory, written: bytes) -> None:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "members.json").write_bytes(written)
    (folder / "images.json").write_bytes(written)
    made = Agent(folder)
    assert made.members.known == (list(made.members) != [] or written.strip() == b"[]")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


odd_ids = st.sampled_from(
    (
        "",
        " ",
        "a b",
        "a\nb",
        'a"b',
        "a'b",
        "a/b",
        "a?b",
        "../x",
        "ü",
        "\0",
        "x" * 5000,
        "a#b",
        "%61",
    )
)


odd_members = (
    st.builds(lambda value: {"id": value, "healthy_since": None}, odd_ids | json_values)
    | st.builds(
        lambda value: {"id": f"{9:064x}", "healthy_since": value},
        json_values.filter(lambda value: value is not None and not isinstance(value, str)),
    )
    | json_values.filter(lambda value: not isinstance(value, dict) or "id" not in value)
).filter(lambda each: not is_id(each.get("id")) if isinstance(each, dict) else True) | st.just(
    {"id": f"{9:064x}", "healthy_since": 7}
)


@given(odd=st.lists(odd_members, min_size=1, max_size=4), data=st.data())
def test_members_that_are_sound_stay_and_the_others_are_named_once(
    tmp_path_factory: pytest.TempPathFactory, odd: list[Any], data: st.DataObject
) -> None:
    sound = [
        {"id": f"{number:064x}", "healthy_since": since} for number, since in ((1, "a"), (2, None))
    ]
    file = tmp_path_factory.mktemp("kept") / "members.json"
    file.write_text(json.dumps(data.draw(st.permutations([*sound, *odd]))))
    with own_prints() as printed:
        made = Members(file)
    assert {each.id: each.healthy_since for each in made} == {
        each["id"]: each["healthy_since"] for each in sound
    }
    assert not made.known, "so Traefik is asked whether it has more"
    told = printed.getvalue()
    assert told.startswith(f"{file}: {len(odd)} invalid entries are ignored: ")
    assert told.count("\n") == 1


def test_a_member_keeps_its_mark_in_the_file(tmp_path: Path) -> None:
    members = Members(tmp_path / "members.json")
    members.put("a", None)
    mark = "0123456789abcdef"
    assert members.joined("a", mark)
    members.put("a", "now")
    (again,) = Members(tmp_path / "members.json")
    assert (again.healthy_since, again.mark) == ("now", mark)
