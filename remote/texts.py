"""Texts in other languages, in ``templates`` beside the modules that use them."""

import pkgutil
from string import Template


def text_of(package: str, name: str) -> str:
    """Return the text of a template of a package, which may be in an archive.

    Modules read theirs when they are imported: an archive may be replaced while it runs.

    Raises:
        FileNotFoundError: There is none.
    """
    data = pkgutil.get_data(package, f"templates/{name}")
    if data is None:
        raise FileNotFoundError(f"{package}: {name}")
    return data.decode()


def template_of(package: str, name: str) -> Template:
    """Return a template of a package, with ``$names`` as its placeholders; see `text_of`."""
    return Template(text_of(package, name))
