"""A hook of MkDocs: files of the repository's root that the site has too.

They stay in the root, where platforms look for them, and link as they do there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FILES = ("LICENSE", "Pulumi.lab.yaml", "Pulumi.prod.yaml", "Pulumi.schema.json")
"""Files that are served as they are."""
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the root's files to the site."""
    from mkdocs.structure.files import File  # only the site's environment has it

    for name in (*PAGES, *FILES):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make links between docs/ and the root those of the site."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, source: str) -> str:
    """Return a page whose links fit the site, where docs/ and the root are one folder.

    Args:
        markdown: The page.
        source: Its path in the site, such as ``adr/README.md``.
    """
    if source in PAGES:
        return _LINK.sub(lambda link: link["target"].removeprefix("docs/"), markdown)
    up = "../" * (source.count("/") + 1)
    moved = {f"{up}{name}": f"{up.removesuffix('../')}{name}" for name in (*PAGES, *FILES)}
    return _LINK.sub(lambda link: moved.get(link["target"], link["target"]), markdown)
