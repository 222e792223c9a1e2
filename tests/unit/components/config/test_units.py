import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.units import (
    MEBIBYTE,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@given(st.integers(min_value=1, max_value=2**30))
def test_a_size_survives_being_written_and_read(mebibytes: int) -> None:
    size = mebibytes * MEBIBYTE
    assert parse_size(format_size(size)) == size


@given(st.integers(min_value=1, max_value=10**8))
def test_a_duration_survives_being_written_and_read(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 s", "-5s", "0s", "1.5m", "1m1h", 5, None, "５s "])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "2", "2GB", "2 GiB", "-1GiB", 2, None, "1e3MiB", "2GiB\n"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0MiB", "0.5MiB", "1.0000001GiB"])
def test_a_size_is_whole_mebibytes_as_libvirt_wants_it(text: str) -> None:
    with pytest.raises(ValueError, match="whole number of MiB"):
        parse_size(text)
