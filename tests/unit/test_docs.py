"""The configs in the guides are right."""

import re
from typing import Any

import pytest
import yaml

from components.config.check import raw_config
from components.config.loading import parse
from tests.support.configs import BASE
from tests.support.program import PROJECT

_YAML = re.compile(r"^( *)```ya?ml\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
GUIDES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCKS = {
    f"{path.stem} {number}": block[2]
    for path in GUIDES
    for number, block in enumerate(_YAML.finditer(path.read_text()))
}


def config(text: str) -> dict[str, Any] | None:
    """Return a block as `make check-config` reads it; None if it is about something else."""
    given = yaml.safe_load(text)
    if not isinstance(given, dict):
        return None
    if "config" not in given and any(str(key).startswith("gatehouse:") for key in given):
        given = {"config": given}
    return raw_config(yaml.safe_dump(given)) if "config" in given else None


@pytest.mark.parametrize("name", BLOCKS)
def test_a_config_in_a_guide_is_valid(name: str) -> None:
    raw = config(BLOCKS[name])
    if raw is None:
        pytest.skip("no config")
    parse({**BASE, **raw})


def test_there_are_some() -> None:
    assert "tls 2" in BLOCKS
    assert config(BLOCKS["tls 2"]) is not None
