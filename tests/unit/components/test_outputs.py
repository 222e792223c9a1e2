"""What the program reads of its resources, and what the SDK is spared."""

from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import outputs
from tests.support import program


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"edge__vm": {"address": "10.90.0.254/24"}},
        {"services__hello__volumes": [{"name": "data", "path": "/data", "shared": True}]},
    ],
)
def test_every_output_that_the_program_reads_is_there(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = []
    get = pulumi.get

    def watched(resource: Any, name: str) -> Any:
        value = get(resource, name)
        if value is None and isinstance(resource, pulumi.Resource):
            missing.append(f"{resource.pulumi_resource_type}: {name}")
        return value

    monkeypatch.setattr(pulumi, "get", watched)
    program.run(program.config(**changes))
    assert missing == [], "add them to components.outputs.READ"


def test_what_is_neither_given_nor_read_is_left_out() -> None:
    args = pulumi.ResourceTransformationArgs(
        resource=None,  # type: ignore[arg-type]  # it does not look at it
        type_="command:local:Command",
        name="some",
        props={"create": "true", "delete": None, "stdout": None, "triggers": []},
        opts=pulumi.ResourceOptions(),
    )
    assert outputs.only_read(args).props == {"create": "true", "stdout": None, "triggers": []}
