"""A recorded terminal as a picture."""

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lab import recording
from lab.recording import Line, RecordingError, chunks, lines, main, shown, svg

LOG = b"Script started on 2026-11-30 [COMMAND=x]\n==> start\r\n    done\r\n\nScript done\n"
TIMING = "0.5 11\n12.0 10\n"


def test_lines_come_with_the_seconds_since_the_start() -> None:
    assert lines(chunks(LOG, TIMING)) == [
        Line(seconds=0.5, text="==> start"),
        Line(seconds=12.5, text="    done"),
    ]


def test_a_line_in_two_chunks_is_one_that_comes_with_its_end() -> None:
    assert lines([(1.0, b"==> st"), (2.0, b"art\nx")]) == [
        Line(seconds=2.0, text="==> start"),
        Line(seconds=2.0, text="x"),
    ]


def test_a_line_that_is_written_anew_is_as_it_looked_in_the_end() -> None:
    assert lines([(1.0, b"10%\r\x1b[K100%\r\n")]) == [Line(seconds=1.0, text="100%")]


def test_what_is_more_than_lines_is_refused() -> None:
    with pytest.raises(RecordingError, match=r"line at 3\.0 s: moves the cursor"):
        lines([(3.0, b"\x1b[2Aup\n")])


def test_the_files_of_two_runs_are_refused() -> None:
    with pytest.raises(RecordingError, match="two runs"):
        lines(chunks(LOG, "0.5 900\n"))


def test_pauses_are_shortened_and_nothing_else_is() -> None:
    recorded = [Line(seconds=each, text="") for each in (0.1, 0.3, 90.3, 90.4)]
    assert shown(recorded) == pytest.approx([0.1, 0.3, 0.3 + recording.LONGEST_PAUSE, 1.2])


def test_the_picture_has_every_line_with_its_time_and_says_how_long_it_took() -> None:
    recorded = [Line(seconds=2.0 * each, text=f"<line {each}> & more") for each in range(100)]
    words = [each.text for each in ET.fromstring(svg(recorded, "make up")).iter() if each.text]  # noqa: S314 - our own
    assert "$ make up" in words
    assert "198 s, pauses shortened" in words
    assert "<line 99> & more" in words
    assert "3:18" in words


def test_colors_stay_and_other_bytes_do_not() -> None:
    text = svg([Line(seconds=1, text="\x1b[1;32mUP\x1b[0m plain")], "x")
    assert 'font-weight="bold">UP</tspan> plain' in text
    assert "\x1b" not in text


def test_a_line_that_is_too_long_is_cut() -> None:
    text = svg([Line(seconds=1, text="x" * 500)], "x")
    assert "x" * (recording.COLUMNS - 1) + "…" in text
    assert "x" * (recording.COLUMNS + 1) not in text


def test_the_newest_line_is_the_last_one_in_sight() -> None:
    few = svg([Line(seconds=1, text="a"), Line(seconds=2, text="b")], "x")
    assert f"translateY({(recording.ROWS - 1) * 17}px)" in few
    many = svg([Line(seconds=each, text="a") for each in range(recording.ROWS + 3)], "x")
    assert f"#s{{transform:translateY({-3 * 17}px)" in many


@pytest.mark.skipif(shutil.which("script") is None, reason="no `script`")
def test_a_real_recording_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, timing, out = (tmp_path / name for name in ("log", "timing", "out.svg"))
    command = r"printf '==> start\n'; printf '    \033[32mdone\033[0m\n'"
    subprocess.run(
        ("script", "-q", "-e", "-E", "never", "-O", log, "-T", timing, "-c", command),
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    assert main([str(log), str(timing), str(out), "--title", "make up"]) == 0
    assert "2 lines in" in capsys.readouterr().out
    assert "done</tspan>" in out.read_text()
