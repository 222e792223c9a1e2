"""Sizes and durations as operators write them: ``2GiB``, ``30s``.

Deliberately not supported: decimal units (``GB``) and bare numbers, because ``2`` or ``2GB`` would
leave it to the reader to guess which unit was meant.
"""

import re

SIZE = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(MiB|GiB|TiB)"
DURATION = r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?"

MEBIBYTE = 2**20
_SIZE_FACTORS = {"MiB": MEBIBYTE, "GiB": 2**30, "TiB": 2**40}
_LARGEST = 2**50  # HAProxy, Docker and libvirt use 64 bits
_MOST_GIBIBYTES = 1024
"""The largest number without a unit that may have meant GiB."""
_UNITS = {
    "s": ("", "s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}
_OTHER_FACTORS = {"": 1, "k": 2**10, "m": MEBIBYTE, "g": 2**30, "t": 2**40}


def parse_size(text: object) -> int:
    """Return the number of bytes in a size such as ``512MiB`` or ``1.5GiB``.

    libvirt's provider takes whole MiB only, so a size that is not a multiple of 1 MiB is refused.

    Raises:
        ValueError: The text is not a size; the message says which forms are.
    """
    match = re.fullmatch(SIZE, text) if isinstance(text, str) else None
    if match is None:
        meant = _other_size(text)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueError(f"must be a size such as 512MiB, 2GiB or 1TiB{hint}")
    size = float(match[1]) * _SIZE_FACTORS[match[2]]
    if size < MEBIBYTE or size % MEBIBYTE:
        raise ValueError("must be a whole number of MiB, at least 1MiB")
    if size > _LARGEST:
        raise ValueError("must be at most 1024TiB")
    return int(size)


def _other_size(text: object) -> str | None:
    """Return the size that ``512m``, ``1G``, ``512MB``, ``1 gb`` or a number of bytes means.

    A bare number that is too small for bytes may mean GiB or MiB.
    """
    pattern = r"\s*([0-9]{1,16}(?:\.[0-9]{1,12})?)\s*([kmgt]?)i?(?:b|bytes?)?\s*"
    match = re.fullmatch(pattern, _written(text), re.IGNORECASE)
    if match is None:
        return None
    unit = match[2].lower()
    size = float(match[1]) * _OTHER_FACTORS[unit]
    if match[0].strip() == match[1] and size < MEBIBYTE:
        return " or ".join(_with_units(match[1])) or None
    if not MEBIBYTE <= size <= _LARGEST or size % MEBIBYTE:
        return None
    return f"{match[1]}{unit.upper()}iB" if unit in ("m", "g", "t") else format_size(int(size))


def _with_units(number: str) -> list[str]:
    """Return the sizes that a bare number may mean: GiB unless that is too large, and MiB."""
    gibibytes = [f"{number}GiB"] if 0 < float(number) <= _MOST_GIBIBYTES else []
    whole = float(number) >= 1 and float(number).is_integer()
    return [
        *(each for each in gibibytes if float(number) * 1024 % 1 == 0),
        *([f"{number}MiB"] if whole else []),
    ]


def _written(value: object) -> str:
    """Return a text or number as in the file; Python refuses to write very long numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e16:
        return str(value)
    return ""


def format_size(size: int) -> str:
    """Return bytes as the shortest exact size: ``parse_size(format_size(n)) == n``."""
    for unit in ("TiB", "GiB"):
        if size % _SIZE_FACTORS[unit] == 0:
            return f"{size // _SIZE_FACTORS[unit]}{unit}"
    return f"{size // MEBIBYTE}MiB"


def parse_duration(text: object) -> int:
    """Return the seconds in a duration such as ``30s``, ``10m`` or ``1h30m``.

    Raises:
        ValueError: The text is not a duration of at least one second.
    """
    match = re.fullmatch(DURATION, text) if isinstance(text, str) and text else None
    seconds = 0
    if match is not None:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if seconds < 1:
        meant = _other_duration(text)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueError(f"must be a duration such as 30s, 10m or 1h30m{hint}")
    return seconds


def _other_duration(text: object) -> str | None:
    """Return the duration that ``10``, ``10 s``, ``10sec``, ``10 minutes`` or ``1d`` means."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*([a-z]*)\s*", _written(text), re.IGNORECASE)
    unit = next((unit for unit, names in _UNITS.items() if match and match[2].lower() in names), "")
    if match is None or not unit or not 0 < int(match[1]) < (40_000 if unit == "d" else 10**6):
        return None
    return f"{int(match[1]) * 24}h" if unit == "d" else f"{int(match[1])}{unit}"


def format_duration(seconds: int) -> str:
    """Return seconds as a duration: ``parse_duration(format_duration(n)) == n``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
