from pathlib import Path

import pytest

from remote.edge_agent import bundle
from remote.edge_agent.system import EdgeError


def test_a_text_comes_apart_into_haproxys_lines_and_files() -> None:
    page = 'HTTP/1.1 503\r\n\r\n"not" now\n'
    text = (
        "global\n" + bundle.file_line("errors/503.http", page) + bundle.fact_line("tls", {"a": 1})
    )
    assert text.count("\n") == 3, "a line each, whatever is in it"
    taken = bundle.take_apart(text)
    assert taken.config == "global\n"
    assert taken.files == {"errors/503.http": page, "tls.json": '{"a": 1}\n'}


def test_each_line_of_a_file_is_to_be_seen_and_changes_alone() -> None:
    before, after = (
        bundle.file_lines("a.map", lines) for lines in (["a 1", "c 3"], ["a 1", "b #2", "c 3"])
    )
    assert [line for line in after.splitlines() if line not in before] == ["#| b #2"]
    taken = bundle.take_apart(f"global\n{after}{bundle.fact_line('tls', 1)}defaults\n")
    assert taken.config == "global\ndefaults\n"
    assert taken.files == {"a.map": "a 1\nb #2\nc 3\n", "tls.json": "1\n"}
    assert bundle.take_apart(bundle.file_lines("a.map", [])).files == {"a.map": ""}


@pytest.mark.parametrize("before", ["", bundle.fact_line("tls", 1)])
def test_a_line_of_no_file_is_refused(before: str) -> None:
    with pytest.raises(
        EdgeError, match=r"^line \d of the input: .* continues a file that none begins; .*#\| a 1"
    ):
        bundle.take_apart(f"{before}#| a 1\n")


@pytest.mark.parametrize("path", ["/etc/passwd", "../haproxy.cfg", "a/../../b", "."])
def test_a_file_is_below_the_folder(path: str) -> None:
    with pytest.raises(EdgeError, match="must be below files"):
        bundle.take_apart(bundle.file_line(path, ""))


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
