"""Where code may run, how long it may be, and which names it has.

The contracts in pyproject.toml cannot express these rules.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.program import PROJECT

CODE = ("__main__.py", "benchmarks", "components", "controller", "lab", "recovery", "remote")
MODULE_LINES, FUNCTION_LINES = 400, 60
LONG_FUNCTIONS = {
    "tests/e2e/test_lab.py: test_a_service_with_everything_and_one_of_tcp",  # one update, all keys
    "tests/support/rendering.py: edge_bundle",
    "tests/support/strategies.py: _service",  # a strategy for each key of a service
}

SAME_NAME = {
    # A model of the config, and the component that is made from it.
    *("Edge", "Farm", "Service"),
    # A fake on loopback, and the thing that it replaces.
    *("Container", "Vm"),
}
"""Names of two classes; see the glossary in docs/architecture.md."""

COMMANDS = (
    *("controller.boot", "controller.capacity", "controller.dhcp_reservation"),
    *("controller.reach", "controller.ship"),
    *("remote.edge_agent", "remote.vm_agent", "remote.vm_firewall"),
    # Named by delete commands of older states.
    *("components.edge.keeper", "components.edge.reach"),
    *("components.vm.boot", "components.vm.reserve"),
)
"""Modules that the graph's commands run with any Python."""


def modules(*places: str) -> Iterator[str]:
    """Yield the files of Python below some places, relative to the project."""
    for place in places:
        path = PROJECT / place
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (str(file.relative_to(PROJECT)) for file in files)


# At import, when no other thread runs: Python 3.11 fails to parse in two at once.
TREES = {file: ast.parse((PROJECT / file).read_text()) for file in modules(*CODE, "tests")}


def imported(file: str) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{file}: imports relatively"
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def foreign(file: str, *known: str) -> list[str]:
    """Return what a file imports that is neither the standard library's nor below ``known``."""
    return [
        name
        for name in imported(file)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(f"{name}.".startswith(f"{each}.") for each in known)
    ]


def test_what_runs_elsewhere_takes_the_standard_library_only() -> None:
    found = {each: foreign(each, "remote") for each in modules("remote")}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_command_of_the_graph_takes_the_standard_library_only() -> None:
    own = ("controller", "remote", "components.config.units")
    found = {each: foreign(each, *own) for each in modules("controller")}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_of_the_graph_runs_without_any_package(module: str) -> None:
    done = subprocess.run(
        (sys.executable, "-S", "-m", module, "--no-such-option"),
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"PATH": ""},
    )
    assert (done.returncode, done.stderr[:7]) == (2, "usage: "), done.stderr


def test_no_module_is_too_long() -> None:
    lines = {each: (PROJECT / each).read_text().count("\n") for each in TREES}
    too_long = {file: count for file, count in lines.items() if count > MODULE_LINES}
    assert too_long == {}, "split these modules"


def test_no_function_is_too_long() -> None:
    too_long = {
        f"{file}: {node.name}": lines
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    left = {name: too_long[name] for name in too_long.keys() - LONG_FUNCTIONS}
    assert left == {}, "split these functions"
    assert LONG_FUNCTIONS - too_long.keys() == set(), "these are short enough now: remove them"


def test_a_class_name_means_one_thing() -> None:
    where: dict[str, list[str]] = {}
    for file in modules(*CODE):
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(file)
    twice = {name: files for name, files in where.items() if len(files) > 1}
    left = {name: twice[name] for name in twice.keys() - SAME_NAME}
    assert left == {}, "rename one of them"


def test_what_programs_print_is_read_whatever_bytes_it_has() -> None:
    strict = [
        f"{file}:{node.lineno}"
        for file in modules("components", "controller", "recovery", "remote")
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.Call)
        and (options := {each.arg: each.value for each in node.keywords}).get("text") is not None
        and ast.unparse(options["text"]) == "True"
        and "errors" not in options
    ]
    assert strict == [], 'add errors="replace": one odd byte would end the caller'


def test_all_code_is_looked_at() -> None:
    packages = {each.parent.name for each in PROJECT.glob("*/__init__.py")}
    assert {*packages, "__main__.py"} - {"tests"} == set(CODE)
