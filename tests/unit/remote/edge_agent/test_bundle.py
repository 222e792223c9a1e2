from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.edge_agent import bundle
from remote.edge_agent.bundle import Bundle, pack, unpack
from remote.edge_agent.system import EdgeError

texts = st.text(st.sampled_from("= \na\r\t,é") | st.characters(codec="utf-8"), max_size=40)
paths = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,9}\Z").filter(lambda it: it != "haproxy.cfg")


@given(texts, st.dictionaries(paths | paths.map("sub-/{}".format), texts, max_size=4))
def test_what_is_packed_comes_out_as_it_went_in(config: str, files: dict[str, str]) -> None:
    made = Bundle(config, files)
    if not any(path.startswith("sub-/") for path in files) or "sub-" not in files:
        assert unpack(pack(made)) == made


def test_all_of_it_is_to_be_read_and_each_line_changes_alone() -> None:
    files = {"a.map": "a 1\nc 3\n", "errors/503.http": 'HTTP/1.1 503\r\n\r\n"not" now', "e": ""}
    before = pack(Bundle("global\n    user haproxy\n", files))
    assert before == (
        "=== haproxy.cfg\nglobal\n    user haproxy\n"
        "=== a.map\na 1\nc 3\n"
        "=== errors/503.http, without a newline at its end\n"
        'HTTP/1.1 503\r\n\r\n"not" now\n'
        "=== e\n"
    )
    after = pack(Bundle("global\n    user haproxy\n", {**files, "a.map": "a 1\nb #2\nc 3\n"}))
    assert [line for line in after.split("\n") if line not in before] == ["b #2"]


def test_a_line_that_looks_like_the_beginning_of_a_file_is_none() -> None:
    files = {"page": "===\n=== haproxy.cfg\n==== a\n== b\n"}
    assert "\n==== haproxy.cfg\n===== a\n== b\n" in pack(Bundle("", files))
    assert unpack(pack(Bundle("", files))) == Bundle("", files)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("global\n", "line 1 of the input: a file begins with `=== path`"),
        ("=== haproxy.cfg\nglobal", "no newline at its end"),
        ("=== haproxy.cfg\n=== haproxy.cfg\n", "line 2 of the input: a file is given twice"),
        ("=== haproxy.cfg\n===\n", "line 2 of the input: a file's path is invalid"),
        ("=== haproxy.cfg\n===a\n", "line 2 of the input: a file's path is invalid"),
        ("=== haproxy.cfg, without a newline at its end\n", "has no last line"),
        ("=== haproxy.cfg, without a newline at its end\n\n", "has no last line"),
        ("=== haproxy.cfg, without a newline at its end\na\n\n", "has no last line"),
        ("=== haproxy.cfg\n=== a\n=== a/b\n", "both a file and a folder"),
        ("=== routes.map\n", "has no haproxy.cfg"),
        ("", "no newline at its end"),
    ],
)
def test_what_was_not_packed_is_refused(text: str, why: str) -> None:
    with pytest.raises(EdgeError, match="nothing was changed; run `pulumi up` again") as error:
        unpack(text)
    assert why in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../haproxy.cfg", "a/../../b", ".", "", "a//b", "a/", "-a b", " a"),
        *("a\0", "é", f"{'x' * 251}", "a\r", ".hidden"),
    ],
)
def test_a_file_is_below_the_folder(path: str) -> None:
    with pytest.raises(EdgeError, match=r"line 2 of the input: a file's path is invalid"):
        unpack(f"=== haproxy.cfg\n=== {path}\n")


def test_what_is_written_is_what_is_there_and_for_root_only(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    bundle.write(folder, {"a": "1", "sub/b": "2", "gone/c": "3"})
    bundle.write(folder, {"a": "1", "sub/b": "changed"})
    assert bundle.read(folder) == {"a": "1", "sub/b": "changed"}
    assert sorted(path.name for path in folder.iterdir()) == ["a", "sub"]
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert (folder / "sub").stat().st_mode & 0o777 == 0o700


def test_a_file_that_stays_the_same_is_not_touched(tmp_path: Path) -> None:
    bundle.write(tmp_path / "files", {"a": "1"})
    before = (tmp_path / "files" / "a").stat()
    bundle.write(tmp_path / "files", {"a": "1", "b": "2"})
    assert (tmp_path / "files" / "a").stat() == before
