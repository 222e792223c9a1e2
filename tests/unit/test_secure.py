"""Secret values of a stack file: only keys that keep them secret may have them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config.check import raw_config
from components.config.loading import ConfigError, parse
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
