"""Quote arbitrary values as words of a haproxy.cfg."""

_ESCAPES = {"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def quoted(text: str) -> str:
    """Return a text as one word: in double quotes, in which these characters mean something."""
    return '"' + "".join(_ESCAPES.get(each, each) for each in text) + '"'


def quoted_format(text: str) -> str:
    """Return a text as one word of a log-format, where ``%`` has a meaning too."""
    return quoted(text.replace("%", "%%"))
