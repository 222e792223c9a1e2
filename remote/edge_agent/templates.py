"""The texts in other languages that the edge agent writes, from the files in ``templates``."""

import pkgutil
from string import Template


def template(file: str) -> Template:
    """Return a file with ``$names``; to be called when a module is imported.

    An update may replace the archive that the edge agent runs from while it runs.
    """
    text = pkgutil.get_data(__name__, f"templates/{file}")
    if text is None:
        raise FileNotFoundError(file)
    return Template(text.decode())
