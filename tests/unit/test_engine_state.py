import json
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
        {"color": Secret("hush-red"), "parts": [{"id": Secret({"in": ["hush-nested"]})}]},
        dependencies=("x",),
        property_dependencies={"color": ("y", "z")},
        replacement_trigger=Secret("hush-trigger"),
        timeouts=Timeouts(create=90.0),
        init_errors=("late",),
        delete=True,
    )
    return State(
        resources=[full, resource("b")],
        pending=[Pending(kind="create", resource=resource("c", {"color": Secret("hush-c")}))],
        outputs={"url": Secret("hush-url")},
    )


def test_a_state_survives_the_file(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    file.save(some_state())
    again = file.load()
    assert again.to_json() == some_state().to_json()
    assert again.resources[0].inputs["color"] == Secret("hush-red")
    assert again.resources[0].timeouts == Timeouts(create=90.0)


def test_no_file_is_an_empty_state(tmp_path: Path) -> None:
    assert StateFile(tmp_path).load().to_json() == State().to_json()


def test_only_its_owner_can_read_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    StateFile(folder).save(some_state())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_no_secret_is_in_the_folder_in_plain_text(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    file = StateFile(folder)
    file.save(some_state())
    file.save(file.load())
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"fake:index:Thing" in kept
    assert b"hush" not in kept


def test_the_key_is_made_for_the_first_secret_and_never_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    StateFile(folder).save(State(resources=[resource("b")]))
    assert not (folder / "key").exists()
    StateFile(folder).save(some_state())
    before = (folder / "key").read_bytes()
    StateFile(folder).save(StateFile(folder).load())
    assert (folder / "key").read_bytes() == before


def test_secrets_cannot_be_read_without_their_key_or_with_another(tmp_path: Path) -> None:
    StateFile(tmp_path / "a").save(some_state())
    StateFile(tmp_path / "b").save(some_state())
    (tmp_path / "b" / "key").replace(tmp_path / "a" / "key")
    with pytest.raises(EngineError, match=r"a/key: this is not the key that .* `make down`"):
        StateFile(tmp_path / "a").load()
    (tmp_path / "a" / "key").write_text("too short")
    with pytest.raises(EngineError, match=r"a/key: this is not the key"):
        StateFile(tmp_path / "a").load()
    with pytest.raises(EngineError, match=r"b/key: the key that .* is missing: .* `make down`"):
        StateFile(tmp_path / "b").load()


def test_a_state_of_an_older_version_is_refused_as_it_has_its_secrets_in_plain_text(
    tmp_path: Path,
) -> None:
    (tmp_path / "state.json").write_text(json.dumps({**some_state().to_json(), "version": 1}))
    with pytest.raises(EngineError, match=r"state\.json: .* secrets in plain text: .* `make down`"):
        StateFile(tmp_path).load()


def test_a_secret_in_plain_text_is_not_taken_for_an_encrypted_one(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps(some_state().to_json()))
    with pytest.raises(EngineError, match=r"this is not a state .* \(a secret is in plain text\)"):
        StateFile(tmp_path).load()


@pytest.mark.parametrize("text", ["{", '{"version": 7}', "[]", '{"version": 2}'])
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
