"""Error pages: files on the operator's machine, which the edge sends as answers."""

from pathlib import Path

MOST_BYTES = 60_000
"""HAProxy keeps an answer in one buffer; some of its 80 KiB is left for headers."""


def read_page(path: str) -> str:
    """Return the text of a page.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or not text.
    """
    page = Path(path).read_bytes()
    if len(page) > MOST_BYTES:
        raise ValueError(
            f"has {len(page)} bytes, but HAProxy keeps an answer in one buffer and takes at most"
            f" {MOST_BYTES}; put images and styles elsewhere"
        )
    try:
        return page.decode()
    except UnicodeDecodeError:
        raise ValueError("must be text in UTF-8") from None


def page_problem(path: str) -> str | None:
    """Return why a page cannot be used, or None if it can."""
    try:
        read_page(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return None
