import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine.errors import EngineError
from lab.engine.model import Resource, Timeouts
from lab.engine.state import Pending, State, StateFile
from lab.engine.values import Secret
from tests.unit.engine_fakes import resource


def some_state() -> State:
    full = resource(
        "a",
        {"color": Secret("red"), "parts": [{"id": 1}]},
        dependencies=("x",),
        property_dependencies={"color": ("y", "z")},
        replacement_trigger=Secret("t"),
        timeouts=Timeouts(create=90.0),
        init_errors=("late",),
        delete=True,
    )
    return State(
        resources=[full, resource("b")],
        pending=[Pending(kind="create", resource=resource("c"))],
        outputs={"url": Secret("u")},
    )


def test_a_state_survives_the_file(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    file.save(some_state())
    again = file.load()
    assert again.to_json() == some_state().to_json()
    assert again.resources[0].inputs["color"] == Secret("red")
    assert again.resources[0].timeouts == Timeouts(create=90.0)


def test_no_file_is_an_empty_state(tmp_path: Path) -> None:
    assert StateFile(tmp_path).load().to_json() == State().to_json()


def test_only_its_owner_can_read_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    StateFile(folder).save(some_state())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("text", ["{", '{"version": 7}', "[]", '{"version": 1}'])
def test_another_file_is_not_taken_for_a_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(EngineError, match=r"state\.json: this is not a state of this lab engine"):
        StateFile(tmp_path).load()


def test_a_resource_needs_all_that_it_refers_to() -> None:
    one = resource(
        "a",
        parent="p",
        provider="prov::id",
        deleted_with="w",
        replace_with=("r",),
        dependencies=("d",),
        property_dependencies={"x": ("e",)},
    )
    assert one.needs() == {"p", "prov", "w", "r", "d", "e"}


def test_every_field_of_a_resource_is_in_the_file() -> None:
    again = Resource.from_json(resource("a").to_json())
    assert again.to_json() == resource("a").to_json()


HOLD = """
import sys
from pathlib import Path
from lab.engine.state import StateFile
with StateFile(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_and_told_who_holds_the_stack(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    with subprocess.Popen(
        (sys.executable, "-c", HOLD, str(tmp_path / "state")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(EngineError, match=f"in use by process {other.pid} since"),
            file.locked(),
        ):
            pass
        other.kill()
        other.wait()
        with file.locked():
            pass
