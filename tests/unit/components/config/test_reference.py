"""The reference and the editors' schema: fresh, complete, and of one mind with the models."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from components.config import reference
from components.config.check import main, raw_config
from components.config.loading import ConfigError, parse
from tests.support import golden
from tests.support.configs import changed
from tests.support.program import PROJECT

STACKS = [
    *PROJECT.glob("Pulumi.*.yaml"),
    *golden.FOLDER.glob("*/stack.yaml"),
]


def validator() -> Any:
    return jsonschema.Draft7Validator(json.loads((PROJECT / reference.SCHEMA).read_text()))


def test_both_files_are_fresh() -> None:
    hint = "run `make reference`"
    made = json.dumps(reference.schema(), indent=2, ensure_ascii=False) + "\n"
    assert (PROJECT / reference.SCHEMA).read_text() == made, hint
    assert (PROJECT / reference.MARKDOWN).read_text() == reference.markdown(), hint


@pytest.mark.parametrize("path", STACKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_schema_accepts_what_the_models_do(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert list(validator().iter_errors(document)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("farm/vms", "2"),
        ("farm/vms", 0),
        ("farm/image", ...),
        ("farm/memory", "2GB"),
        ("farm/memroy", "2GiB"),
        ("farm/domain_type", "xen"),
        ("services/App", {}),
        ("services/app/hosts", []),
        ("services/app/hosts", ["A.example.org"]),
        ("services/app/health", {"url": "/"}),
        ("services/app/env", {"A=B": "1"}),
        ("services/app/secret_env", {"A": 1}),
        ("services/app/http/allow", []),
        ("services/app/http/headers", {"X-A": True}),
        ("services/app/http/headers", {"X A": "a"}),
        ("services/app/http/error_pages", {"404": "a.html"}),
        ("services/app/http/basic_auth", {}),
        ("egde", {}),
        ("edge/tls", {"hsts": True}),
        ("edge/tls", {"acme": {"email": "ops"}}),
    ],
)
def test_an_editor_marks_the_mistakes_of_single_keys(path: str, value: Any) -> None:
    raw = changed(path, value)
    document = {"config": {f"gatehouse:{key}": each for key, each in raw.items()}}
    assert list(validator().iter_errors(document))
    with pytest.raises(ConfigError):
        parse(raw)


def test_every_key_of_the_reference_has_a_meaning_and_an_example() -> None:
    for model in reference.schema()["$defs"].values():
        for key, field in model["properties"].items():
            assert field.get("description"), key
            assert field.get("examples"), key


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_stack_files_point_editors_to_the_schema(stack: str) -> None:
    first = (PROJECT / f"Pulumi.{stack}.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={reference.SCHEMA}"


def test_check_config_says_valid_or_all_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(PROJECT / "Pulumi.prod.yaml")]) == 0
    assert capsys.readouterr().out.endswith("Pulumi.prod.yaml: valid\n")
    wrong = tmp_path / "Pulumi.wrong.yaml"
    text = (PROJECT / "Pulumi.prod.yaml").read_text()
    wrong.write_text(text.replace("vms: 2", "vms: 0").replace("replicas: 4", "replicas: none"))
    assert main([str(wrong)]) == 1
    assert capsys.readouterr().out == (
        f"{wrong}:\n"
        "  farm.vms: must be at least 1 (got 0)\n"
        "  services.matomo.replicas: must be a whole number (got none)\n"
    )
    assert main([str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().out == (
        f"{tmp_path / 'none.yaml'}: cannot be read: there is no such file; name a stack file, such"
        " as FILE=Pulumi.prod.yaml\n"
    )
    assert main([str(tmp_path)]) == 1
    assert ": cannot be read: it is a folder; name a stack file in it" in capsys.readouterr().out
    (tmp_path / "latin.yaml").write_bytes(b"config: {a: \xfc}")
    assert main([str(tmp_path / "latin.yaml")]) == 1
    assert ": cannot be read: it is not text in UTF-8; byte 13 is" in capsys.readouterr().out


def test_encrypted_hashes_count_as_hashes() -> None:
    users = "basic_auth: {alice: {secure: v1:x}}"
    text = f"config:\n  gatehouse:services: {{app: {{http: {{{users}}}}}}}\n"
    raw = raw_config(text)["services"]["app"]["http"]
    assert parse(changed("services/app/http", raw)).services["app"].http.basic_auth


def test_encrypted_values_count_as_text() -> None:
    text = "config:\n  gatehouse:services: {app: {secret_env: {A: {secure: v1:x}}}}\n"
    assert raw_config(text) == {"services": {"app": {"secret_env": {"A": "encrypted"}}}}


def test_what_is_no_stack_file_is_told() -> None:
    for text in ("a: [", "- a", "", "config: 3"):
        with pytest.raises(ConfigError, match="config: "):
            raw_config(text)


@pytest.mark.parametrize(
    "value", ["!!int x", "!foo 5", "[" * 3000 + "]" * 3000, "&a {b: *a}"], ids=len
)
def test_what_yaml_cannot_make_of_a_file_is_an_error_of_the_config(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^the stack config is wrong") as error:
        raw_config(f"config:\n  gatehouse:farm: {value}\n")
    assert error.value.problems[0].startswith("config: the file is not valid YAML: ")
