"""Links between the documents lead somewhere, in the repository and on the site."""

import re
from pathlib import Path

import pytest

from docs.hooks import FILES, PAGES, relinked
from lab.commands import PROJECT

DOCUMENTS = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md"))]
_CODE = re.compile(r"^( *)```.*?^\1```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """Return the targets of a document's links, without those to other sites."""
    found = [first or second for first, second in _LINK.findall(_CODE.sub("", text))]
    return [each for each in found if not re.match(r"[a-z]+:", each)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and the site name them."""
    plain = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(plain))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def broken(document: Path, text: str) -> list[str]:
    """Return the links of a document that lead nowhere."""
    missing = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())
        ):
            missing.append(link)
    return missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert broken(document, document.read_text()) == []


def test_a_broken_link_or_anchor_is_found() -> None:
    text = "[a](nowhere.md) [b](README.md#nowhere) [c](#here)\n\n# Here\n\n`[d](code.md)`\n"
    assert broken(PROJECT / "x.md", text.replace("#here", "README.md")) == [
        "nowhere.md",
        "README.md#nowhere",
    ]


def test_each_decision_is_in_the_index_with_its_status() -> None:
    index = (PROJECT / "docs" / "adr" / "README.md").read_text()
    rows = {row.split("](")[1].split(")")[0]: row for row in index.splitlines() if "](0" in row}
    records = {path.name: path for path in (PROJECT / "docs" / "adr").glob("0*.md")}
    assert rows.keys() == records.keys()
    for name, path in records.items():
        superseded = re.search(r"^Superseded by ", path.read_text(), re.MULTILINE) is not None
        assert ("| superseded by" in rows[name]) == superseded, name


def test_what_the_site_takes_from_the_root_is_there() -> None:
    assert [name for name in (*PAGES, *FILES) if not (PROJECT / name).is_file()] == []


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("CHANGELOG.md", "[a](docs/operations.md#data-on-vms)", "[a](operations.md#data-on-vms)"),
        ("CONTRIBUTING.md", "[a](CHANGELOG.md) [b](LICENSE)", "[a](CHANGELOG.md) [b](LICENSE)"),
        ("index.md", "[a](../CONTRIBUTING.md#style)", "[a](CONTRIBUTING.md#style)"),
        (
            "adr/README.md",
            "[a](../../SECURITY.md) [b](../tls.md)",
            "[a](../SECURITY.md) [b](../tls.md)",
        ),
        ("index.md", "[a](https://example.org/docs/x)", "[a](https://example.org/docs/x)"),
    ],
)
def test_links_fit_the_site(source: str, before: str, after: str) -> None:
    assert relinked(before, source) == after
