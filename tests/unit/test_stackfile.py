"""A stack file is read as Pulumi reads it, and what Pulumi would leave out is an error."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.config.check import raw_config
from components.config.loading import ConfigError, parse
from tests.support import program
from tests.support.program import PROJECT

PROD = (PROJECT / "Pulumi.prod.yaml").read_text()
CONFIG = yaml.safe_load(PROD)["config"]


def problems(text: str) -> tuple[str, ...]:
    try:
        parse(raw_config(text))
    except ConfigError as error:
        return error.problems
    return ()


@given(st.lists(st.sampled_from(("", "gatehouse:", "gatehouse:config:")), min_size=3, max_size=3))
def test_the_prefix_may_be_left_out(prefixes: list[str]) -> None:
    keys = [key.removeprefix("gatehouse:") for key in CONFIG]
    pairs = zip(prefixes, keys, strict=True)
    config = {f"{prefix}{key}": CONFIG[f"gatehouse:{key}"] for prefix, key in pairs}
    assert raw_config(yaml.safe_dump({"config": config})) == raw_config(PROD)


def test_keys_of_other_programs_are_theirs() -> None:
    assert raw_config("config: {aws:farm: 1, farm: 2, other:config:x: 3}") == {"farm": 2}


def test_errors_have_the_same_paths_without_the_prefix() -> None:
    text = PROD.replace("gatehouse:", "").replace("vms: 2", "vms: 0")
    assert problems(text) == ("farm.vms: must be at least 1 (got 0)",)
    assert problems("config:\n  farm: {image: {secure: v1:x}}\n")[0].startswith("farm.image: would")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "config:\ngatehouse:farm:\n  vms: 2\n",
            "config: does not include gatehouse:farm, which has no indent; indent the lines below"
            " it (got null)",
        ),
        (
            "config:\n  gatehouse:farm: {}\nservices:\n  a: {}\n",
            "config: does not include services, which has no indent; indent the lines below it"
            " (got a map)",
        ),
        (
            "gatehouse:farm:\n  vms: 2\n",
            "config: is required; write `config:` above gatehouse:farm, and indent the lines below"
            " it (got nothing)",
        ),
        (
            "config:\n  gatehose:farm: {vms: 2}\n",
            "config.gatehose:farm: is for a program called gatehose; did you mean gatehouse:farm?"
            " (got gatehose:farm)",
        ),
        (
            "config:\n  Gatehouse:edge: {}\n",
            "config.Gatehouse:edge: is for a program called Gatehouse; did you mean gatehouse:edge?"
            " (got Gatehouse:edge)",
        ),
    ],
)
def test_keys_that_pulumi_would_leave_out_are_an_error(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(text) == (problem,)
    monkeypatch.chdir(tmp_path)
    Path("Pulumi.test.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        program.run(program.config())
    assert error.value.problems == (problem,)
