"""A recording of a terminal as an SVG: ``python -m lab.recording LOG TIMING OUT``.

`make recording` records `make up` with `script`, of Debian's bsdutils, and draws the result for the
README. The lines are real, each with the second in which it was printed. Pauses are shortened, and
the picture says so.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count, pairwise
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

COLUMNS = 110
"""The width of the picture's terminal; longer lines are cut."""
ROWS = 24
LONGEST_PAUSE = 0.8  # s
"""Longer ones are shortened to this."""
LAST_FRAME = 6.0  # s
"""How long the end stays before the recording starts anew."""
_CHARACTER, _LINE, _BAR = 7.2, 17, 34  # px, for a font of 12 px
_TIME_COLUMNS = 8
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-HJSTfhlsu]")
"""Sequences that move the cursor or erase more than a line."""
_ERASES_LINE = re.compile(r"\x1b\[[0-2]?K")


class RecordingError(Exception):
    """A recording cannot be drawn; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a terminal, when it was complete."""

    seconds: float
    """Since the start."""
    text: str
    """With its colors, as escape sequences."""


def chunks(log: bytes, timing: str) -> Iterator[tuple[float, bytes]]:
    """Yield the pieces that `script` has recorded, each with the seconds since the start.

    Args:
        log: The file of ``--log-out``.
        timing: The file of ``--log-timing``: a delay and a number of bytes on each line.

    Raises:
        RecordingError: The two are not from the same run.
    """
    position = log.index(b"\n") + 1 if log.startswith(b"Script started") else 0
    now = 0.0
    for line in timing.splitlines():
        delay, size = line.split()
        now += float(delay)
        if position + int(size) > len(log):
            raise RecordingError("the timing has more bytes than the log: they are from two runs")
        yield now, log[position : position + int(size)]
        position += int(size)


def lines(recorded: Iterable[tuple[float, bytes]]) -> list[Line]:
    """Return the lines of a recording, as they looked when they were complete.

    Raises:
        RecordingError: A program moved the cursor, so that there is more than lines.
    """
    found, rest, now = [], b"", 0.0
    for now, data in recorded:
        *complete, rest = (rest + data).split(b"\n")
        found += [_line(now, each) for each in complete]
    return [*found, _line(now, rest)] if rest.strip() else found


def _line(seconds: float, data: bytes) -> Line:
    text = data.decode(errors="replace").rstrip("\r")
    if _MOVES.search(text):
        raise RecordingError(f"line at {seconds:.1f} s: moves the cursor; record plain output")
    written = _ERASES_LINE.sub("", text.rsplit("\r", 1)[-1])
    return Line(seconds=seconds, text=written)


def shown(recorded: Sequence[Line]) -> list[float]:
    """Return when each line comes in the picture, in seconds: as recorded, with shorter pauses."""
    times, now, before = [], 0.0, 0.0
    for each in recorded:
        now += min(each.seconds - before, LONGEST_PAUSE)
        before = each.seconds
        times.append(now)
    return times


def svg(recorded: Sequence[Line], title: str) -> str:
    """Return the picture: a terminal that the lines scroll through, again and again.

    Browsers that are set to reduced motion show the end.
    """
    if not recorded:
        raise RecordingError("nothing was recorded")
    times = shown(recorded)
    total = times[-1] + LAST_FRAME
    width = round((COLUMNS + _TIME_COLUMNS) * _CHARACTER + 24)
    height = _BAR + ROWS * _LINE + 12
    theme = SVG_EXPORT_THEME
    frames = {0.0: ROWS * _LINE}
    frames |= {when: (ROWS - number) * _LINE for number, when in enumerate(times, 1)}
    steps = "".join(
        f"{100 * when / total:.3f}%{{transform:translateY({offset}px)}}"
        for when, offset in frames.items()
    )
    end = min(ROWS - len(recorded), 0) * _LINE
    decoder = AnsiDecoder()
    rows = "\n".join(
        f'<text class="t" x="{_TIME_COLUMNS * _CHARACTER - 6:.0f}" y="{y}">{_clock(each.seconds)}'
        f'</text><text x="{_TIME_COLUMNS * _CHARACTER + 12:.0f}" y="{y}">'
        f"{_spans(decoder.decode_line(each.text))}</text>"
        for y, each in zip(count(13, _LINE), recorded, strict=False)
    )
    took = f"{recorded[-1].seconds:.0f} s, pauses shortened"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" xml:space="preserve">
<title>{escape(title)}: {took}</title>
<style>
text{{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;\
fill:{theme.foreground_color.hex}}}
.t{{fill:#7a7f86;text-anchor:end}}
#s{{transform:translateY({end}px);animation:s {total:.1f}s step-end infinite}}
@keyframes s{{{steps}}}
@media(prefers-reduced-motion:reduce){{#s{{animation:none}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="{theme.background_color.hex}"/>
<text x="14" y="21">$ {escape(title)}</text>
<text class="t" x="{width - 14}" y="21">{took}</text>
<svg y="{_BAR}" width="{width}" height="{ROWS * _LINE}"><g id="s">
{rows}
</g></svg>
</svg>
"""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _spans(text: Text) -> str:
    if len(text) > COLUMNS:
        text.truncate(COLUMNS, overflow="ellipsis")
    cuts = sorted({0, len(text), *(at for span in text.spans for at in (span.start, span.end))})
    return "".join(
        _span(text.plain[start:end], _style(text, start)) for start, end in pairwise(cuts)
    )


def _style(text: Text, at: int) -> Style:
    styles = [span.style for span in text.spans if span.start <= at < span.end]
    return Style.combine([Style(), *(each for each in styles if isinstance(each, Style))])


def _span(text: str, style: Style) -> str:
    words = []
    if style.color:
        words.append(f'fill="{style.color.get_truecolor(SVG_EXPORT_THEME).hex}"')
    if style.bold:
        words.append('font-weight="bold"')
    return f"<tspan {' '.join(words)}>{escape(text)}</tspan>" if words else escape(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a recording."""
    parser = argparse.ArgumentParser(prog="python -m lab.recording", description=__doc__)
    parser.add_argument("log", type=Path, help="the file that `script --log-out` wrote")
    parser.add_argument("timing", type=Path, help="the file that `script --log-timing` wrote")
    parser.add_argument("out", type=Path, help="the SVG to write")
    parser.add_argument("--title", default="make up", help="the command that was recorded")
    args = parser.parse_args(arguments)
    recorded = lines(chunks(args.log.read_bytes(), args.timing.read_text()))
    args.out.write_text(svg(recorded, args.title), encoding="utf-8")
    print(f"{args.out}: {len(recorded)} lines in {recorded[-1].seconds:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
