"""Read a project file."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.pulumi.errors import StackError


def project_name(folder: Path) -> str:
    """Return the project's name from its ``Pulumi.yaml``.

    Raises:
        StackError: The file is missing, or has no name in it.
    """
    path = folder / "Pulumi.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise StackError(f"{path}: name: must be the project's name")
    return str(data["name"])
