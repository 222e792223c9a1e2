"""Secret values of a stack file: only keys that keep them secret may have them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.check import main, raw_config
from components.config.check import problems as checked
from components.config.loading import ConfigError, parse
from components.config.models.stack import Stack
from tests.support import program

SECURE = {"secure": "v1:x:y"}


def text(**changes: Any) -> str:
    raw = {f"gatehouse:{key}": value for key, value in program.config(**changes).items()}
    return yaml.safe_dump({"encryptionsalt": "v1:a", "config": raw})


@pytest.mark.parametrize(
    ("path", "way_out"),
    [
        ("services__hello__env__PW", "move it to services.hello.secret_env"),
        *(
            (path, "set it without --secret")
            for path in (
                *("services__hello__image", "services__hello__hosts", "services__hello__labels__a"),
                *("services__hello__health__path", "services__hello__replicas", "farm__image"),
                *("services__password__image", "services__secret_env__http__headers__a"),
                *("farm", "edge__bind", "registries__docker.io__username"),
                *("edge__tls__acme__email", "farm__hypervisors"),
            )
        ),
    ],
)
def test_a_secret_that_would_not_stay_one_is_refused(
    path: str, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = text(**{path: SECURE})
    expected = (
        f"{path.replace('__', '.')}: would be in plain text in the state, because this key is not"
        f" for secrets; {way_out} (value hidden: it may be secret)"
    )
    with pytest.raises(ConfigError) as error:
        raw_config(written)
    assert error.value.problems == (expected,)
    monkeypatch.chdir(tmp_path)
    Path("Pulumi.test.yaml").write_text(written)
    with pytest.raises(ConfigError) as error:
        program.run(program.config())
    assert error.value.problems == (expected,)


def test_a_date_is_refused_because_pulumi_rewrites_it() -> None:
    with pytest.raises(ConfigError) as error:
        raw_config(text(services__hello__env={"DAY": "X"}).replace(": X", ": 2001-01-01"))
    assert error.value.problems == (
        "services.hello.env.DAY: must be in quotes, or Pulumi writes the date in another way"
        " (got a date)",
    )


def test_entries_of_lists_are_looked_at() -> None:
    with pytest.raises(ConfigError) as error:
        raw_config(text(services__hello__command=["a", SECURE]))
    assert error.value.problems[0].startswith("services.hello.command.1: would be")


def test_a_secret_where_it_stays_one_is_accepted() -> None:
    registry = {"docker.io": {"username": "me", "password": SECURE}}
    written = text(
        services__hello__secret_env={"PW": SECURE, "a.b": SECURE},
        services__hello__http={"basic_auth": {"alice": SECURE}},
        registries=registry,
    )
    parse(raw_config(written))


def test_what_is_no_secret_of_pulumis_is_a_map() -> None:
    with pytest.raises(ConfigError, match=r"services\.hello\.image: must be text"):
        parse(raw_config(text(services__hello__image={"secure": 5})))


SECRETS: dict[str, tuple[Any, str]] = {
    "services.hello.secret_env.TOKEN": (
        {"services__hello__secret_env": {"TOKEN": "hunter2", "EMPTY": "", "SET": SECURE}},
        "gatehouse:services.hello.secret_env.TOKEN",
    ),
    "services.hello.secret_env.a.b": (
        {"services__hello__secret_env": {"a.b": "hunter2"}},
        """'gatehouse:services.hello.secret_env["a.b"]'""",
    ),
    "services.hello.http.basic_auth.alice": (
        {"services__hello__http": {"basic_auth": {"alice": f"$6$hunter2${'a' * 86}"}}},
        "gatehouse:services.hello.http.basic_auth.alice",
    ),
    "registries.docker.io.password": (
        {"registries": {"docker.io": {"username": "me", "password": "hunter2"}}},
        """'gatehouse:registries["docker.io"].password'""",
    ),
}


@pytest.mark.parametrize("path", SECRETS)
def test_a_secret_in_plain_text_in_the_file_is_refused_by_the_check(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, argument = SECRETS[path]
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text(**changes))
    assert main([str(file)]) == 1
    assert capsys.readouterr().out == (
        f"{file}:\n  {path}: is in plain text in the file; set it with"
        f" `pulumi config set --secret --path {argument}`, which encrypts it"
        " (value hidden: it may be secret)\n"
    )
    parse(raw_config(file.read_text()))  # the program gets all values in plain text


def test_a_secret_that_is_a_number_has_one_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text(text(services__hello__secret_env={"PIN": 1234}))
    assert main([str(file)]) == 1
    (problem,) = capsys.readouterr().out.splitlines()[1:]
    assert "services.hello.secret_env.PIN: is in plain text in the file; set it with" in problem


def test_a_secret_that_was_put_into_a_key_is_shown_by_no_error() -> None:
    hashed = f"$6$hunter2${'a' * 86}"
    for changes in (
        {"services__hello__secret_env": {"TOKEN=hunter2": "x"}},
        {"services__hello__http": {"basic_auth": {hashed: hashed}}},
    ):
        found = checked(text(**changes))
        assert found
        assert "hunter2" not in str(found)


def test_each_key_that_is_a_secret_in_the_schema_is_tried() -> None:
    schema = json.dumps(Stack.model_json_schema())
    kinds = {"secret_env", "basic_auth", "password"}
    assert schema.count('"secret": true') == len(kinds)
    assert all(any(kind in path.split(".") for path in SECRETS) for kind in kinds)


def test_secrets_in_plain_text_are_reported_beside_what_else_is_wrong() -> None:
    changes = {"services__hello__secret_env": {"A": "hunter2"}, "farm__vms": 0}
    assert [each.partition(": ")[0] for each in checked(text(**changes))] == [
        "farm.vms",
        "services.hello.secret_env.A",
    ]
