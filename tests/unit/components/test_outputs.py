"""What the program reads of its resources, and what the SDK is spared."""

from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import outputs
from tests.support import program

VOLUMES = [{"name": "data", "path": "/data", "shared": True}]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"edge__vm": {"address": "10.90.0.254/24"}},
        {"services__hello__volumes": VOLUMES},
    ],
)
def test_every_output_that_the_program_reads_is_there(changes: dict[str, Any]) -> None:
    program.run(program.config(**changes))


def test_an_output_that_is_not_listed_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(outputs.READ, "docker:index/volume:Volume", frozenset())
    with pytest.raises(
        outputs.UnreadError,
        match=r"^components\.outputs\.READ: docker:index/volume:Volume: is read without being"
        r" listed; add name$",
    ):
        program.run(program.config(services__hello__volumes=VOLUMES))


def test_what_is_neither_given_nor_read_is_left_out() -> None:
    args = pulumi.ResourceTransformationArgs(
        resource=None,  # type: ignore[arg-type]  # it does not look at it
        type_="command:local:Command",
        name="some",
        props={"create": "true", "delete": None, "stdout": None, "triggers": []},
        opts=pulumi.ResourceOptions(),
    )
    assert outputs.only_read(args).props == {"create": "true", "stdout": None, "triggers": []}
