"""The configs in the guides are right."""

import re

import pytest
import yaml

from components.config import parse
from tests.unit.program import PROJECT
from tests.unit.test_config import BASE

_YAML = re.compile(r"^( *)```yaml\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
BLOCKS = {
    f"{path.stem} {number}": block[2]
    for path in sorted((PROJECT / "docs").glob("*.md"))
    for number, block in enumerate(_YAML.finditer(path.read_text()))
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_config_in_a_guide_is_valid(name: str) -> None:
    given = yaml.safe_load(BLOCKS[name])
    parse({**BASE, **{key.removeprefix("gatehouse:"): value for key, value in given.items()}})


def test_there_are_some() -> None:
    assert "tls 2" in BLOCKS
