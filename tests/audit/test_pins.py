"""All downloads are pinned: packages by the hash of each file, images by their digest."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from lab.commands import PROJECT

COMPILED = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-docs.txt",
    "lab/pulumi/go/requirements.txt",
)


def lines(file: str) -> list[str]:
    """Return a requirement file's lines, the continued ones in one piece, without comments."""
    text = (PROJECT / file).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def pins(file: str) -> dict[str, tuple[Requirement, frozenset[str]]]:
    """Return the requirement and the hashes of each package, by its name."""
    found = {}
    for line in lines(file):
        text, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(text)
        found[canonical(requirement)] = requirement, frozenset(each.strip() for each in hashes)
    return found


def canonical(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()


@pytest.mark.parametrize("file", COMPILED)
def test_each_package_is_pinned_with_the_hashes_of_its_files(file: str) -> None:
    for name, (requirement, hashes) in pins(file).items():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), name
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), name


@pytest.mark.parametrize("file", COMPILED)
def test_where_packages_come_from_is_for_whoever_installs_them(file: str) -> None:
    assert "://" not in (PROJECT / file).read_text(), "no index, no link"
    assert not [line for line in lines(file) if line.startswith("-")], "no options"


@pytest.mark.parametrize("file", COMPILED)
def test_the_compiled_file_covers_what_is_edited(file: str) -> None:
    edited = [
        Requirement(line)
        for line in lines(str(Path(file).with_suffix(".in")))
        if not line.startswith("-")
    ]
    compiled = {name: str(pin.specifier) for name, (pin, _) in pins(file).items()}
    wanted = {canonical(each): str(each.specifier) for each in edited}
    assert wanted
    assert compiled.items() >= wanted.items(), "run `make requirements`"


def test_the_checks_run_with_productions_versions() -> None:
    production, checks = pins(COMPILED[0]), pins(COMPILED[1])
    differing = [name for name, pin in production.items() if checks.get(name) != pin]
    assert differing == [], "run `make requirements`"


def test_the_production_example_names_images_by_digest() -> None:
    config = yaml.safe_load((PROJECT / "Pulumi.prod.yaml").read_text())["config"]
    images = [service["image"] for service in config["gatehouse:services"].values()]
    assert images
    assert [each for each in images if not re.search(r"@sha256:[0-9a-f]{64}$", each)] == []
