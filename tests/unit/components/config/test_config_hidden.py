"""Values that may be secret are not shown in errors."""

from typing import Any

import pytest

from components.config.loading import ConfigError, parse
from tests.support.configs import APP, changed, problems


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services/app/secret_env", {"PASSWORD=hunter2": "x"}),
        ("services/app/api-key", "hunter2"),
        ("edge/host_key", "-----BEGIN OPENSSH PRIVATE KEY----- hunter2"),
        ("edge/ssh_key", "hunter2"),
        ("edge/tls/acme/eab_hmac", "hunter2"),
        ("farm/registry_mirror", "http://me:hunter2@mirror.example.org"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(path: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        parse(changed(path, value))
    assert "hunter2" not in str(error.value)
    assert "value hidden" in str(error.value)


@pytest.mark.parametrize(
    "value", [31337, 3.1337, True, None, ["31337"], {"a": 31337}, b"31337", "31337\0"]
)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(
            (f"{APP}/env", name)
            for name in ("DB_PASSWORD", "API_TOKEN", "PIN", "MYSQL_PWD", "APP_KEY")
        ),
        *((f"{APP}/labels", name) for name in ("api.token", "x.secret")),
        *((f"{APP}/http/headers", name) for name in ("X-Api-Key", "X-Auth")),
    ],
)
def test_no_value_of_a_name_that_sounds_secret_is_shown(path: str, name: str, value: Any) -> None:
    (problem,) = problems(changed(path, {name: value}))
    assert "31337" not in problem
    assert problem.endswith("(value hidden: it may be secret)")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{APP}/env", "DB_PASSWORD=31337"),
        (f"{APP}/command", ["--password=31337\0"]),
        (f"{APP}/command", "server --token: 31337"),
        (f"{APP}/labels", "api_key = 31337"),
    ],
)
def test_a_secret_behind_its_name_is_not_shown(path: str, value: Any) -> None:
    (problem,) = problems(changed(path, value))
    assert "31337" not in problem


@pytest.mark.parametrize("name", ["PORT", "DEBUG", "KEYBOARD", "PINNED"])
def test_other_values_are_shown(name: str) -> None:
    (problem,) = problems(changed(f"{APP}/env", {name: 31337}))
    assert problem == f"services.app.env.{name}: must be text; put it in quotes (got 31337)"
