"""A copy of a stack file means to Pulumi what the file does, to the last value.

The lab applies copies, and `goyaml` knows what Pulumi reads: what the lab accepts is what
production accepts.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import goyaml
from lab.pulumi.config import copy_config
from lab.pulumi.errors import StackError
from lab.stack_copies import StackFileError, hosts, image, keep, set_in_copy
from tests.unit.test_goyaml import OTHERS, TEXT

DATES = ("2001-1-1", "2001-01-01 10:00:00", "2001-99-99")
VALUES = (*TEXT, *OTHERS, *DATES, ".inf", "-.INF", "'yes'", '"0o10"', "|\n      two\n      lines")

ODD = st.text(alphabet="0123456789+-._:xXoObBeEaAfF~nulyes", min_size=1, max_size=12)


def stack_file(folder: Path, value: str) -> Path:
    """Write a stack file with a value, and a secret that the copy is not to have."""
    file = folder / "Pulumi.test.yaml"
    file.write_text(
        f"config:\n  farm:\n    vms: 2\n    name: {value}\n"
        "  services:\n    app:\n      secret_env: {TOKEN: hush}\n"
    )
    return file


def name(file: Path) -> str:
    """Return a file's value as Pulumi reads it; `repr` compares dates and NaN, too."""
    return repr(goyaml.load(file.read_text())["config"]["farm"]["name"])


@pytest.mark.parametrize("value", VALUES)
def test_the_copy_without_secrets_has_all_other_values(tmp_path: Path, value: str) -> None:
    source, copy = stack_file(tmp_path, value), tmp_path / "copy.yaml"
    assert copy_config(source, copy) == {"services.app.secret_env.TOKEN": "hush"}
    assert name(copy) == name(source)


@pytest.mark.parametrize("value", VALUES)
def test_a_copy_with_another_number_of_vms_has_all_other_values(tmp_path: Path, value: str) -> None:
    source, copy = stack_file(tmp_path, value), tmp_path / "copy.yaml"
    set_in_copy(source, copy, {"farm.vms": 3, "farm.ssh": "yes", "farm.domain_type": "1e3"})
    assert name(copy) == name(source)
    farm = goyaml.load(copy.read_text())["config"]["farm"]
    assert (farm["vms"], farm["ssh"], farm["domain_type"]) == (3, "yes", "1e3")


@given(value=ODD)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_copies_have_any_value(tmp_path: Path, value: str) -> None:
    source, copy = stack_file(tmp_path, value), tmp_path / "copy.yaml"
    try:
        expected = name(source)
    except goyaml.UNREADABLE:
        with pytest.raises(StackError):
            copy_config(source, copy)
        with pytest.raises(StackFileError):
            set_in_copy(source, copy, {"farm.vms": 3})
        return
    copy_config(source, copy)
    assert name(copy) == expected
    set_in_copy(source, copy, {"farm.vms": 3})
    assert name(copy) == expected


@given(
    st.recursive(
        st.text()
        | st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_read_back(document: object) -> None:
    assert goyaml.load(goyaml.dump(document)) == document


@pytest.mark.parametrize("value", ["yes", "on", "1:20", "0b12", "0x"])
def test_a_secret_that_only_pulumi_reads_as_text_is_a_secret(tmp_path: Path, value: str) -> None:
    source, copy = tmp_path / "Pulumi.test.yaml", tmp_path / "copy.yaml"
    source.write_text(f"config:\n  services: {{app: {{secret_env: {{TOKEN: {value}}}}}}}\n")
    assert copy_config(source, copy) == {"services.app.secret_env.TOKEN": value}
    assert "TOKEN" not in copy.read_text()


TWICE = """\
config:
  farm: {vms: 1, image: /a.qcow2}
  services:
    app: {hosts: [a.lab], secret_env: {TOKEN: hush}}
    app: {hosts: [b.lab]}
"""


@pytest.mark.parametrize(
    "text", [TWICE, TWICE.replace("app: {hosts: [b", "b: {hosts: ][b"), "config: {farm: !!int x}"]
)
def test_what_pulumi_refuses_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    source, copy = tmp_path / "Pulumi.test.yaml", tmp_path / "copy.yaml"
    source.write_text(text)
    problem = (
        r"services\.app: is given twice" if text == TWICE else "config: the file is not valid YAML"
    )
    with pytest.raises(StackError, match=problem):
        copy_config(source, copy)
    for read in (hosts, image, lambda file: set_in_copy(file, copy, {"farm.vms": 2})):
        with pytest.raises(StackFileError, match=problem):
            read(source)
    assert not copy.exists()


def test_a_count_beside_a_date_can_be_kept(tmp_path: Path) -> None:
    source = stack_file(tmp_path, "5")
    source.write_text(source.read_text().replace("vms: 2", "vms: 2001-01-01"))
    keep(tmp_path / "scaled.json", source, {"farm.vms": 3})
