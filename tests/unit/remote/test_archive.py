"""The archives of the programs that run elsewhere."""

import ast
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remote.archive import PROGRAMS, archive, version
from tests.support.program import PROJECT

# At import, when no other thread runs: Python 3.11 fails to parse in two at once.
TREES = {path: ast.parse(path.read_text()) for path in (PROJECT / "remote").rglob("*.py")}


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_fits_into_one_argument_and_is_the_same_everywhere(program: str, tmp_path: Path) -> None:
    made = archive(program)
    assert len(made) < 96 * 1024
    shutil.copytree(PROJECT / "remote", tmp_path / "remote", copy_function=shutil.copyfile)
    for left in (".agent.py.swp", "agent.py~"):
        (tmp_path / "remote" / program / left).touch()
    build = f"import sys, remote.archive as a; sys.stdout.buffer.write(a.archive({program!r}))"
    done = subprocess.run((sys.executable, "-c", build), capture_output=True, cwd=tmp_path)
    assert done.stdout == made


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs_whatever_its_name_is_and_alone(program: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_bytes(archive(program))
    done = subprocess.run(
        (sys.executable, "-I", "-S", file, "--no-such-option"),
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={},
    )
    assert (done.returncode, done.stderr[:7]) == (2, "usage: "), done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_has_all_that_is_in_the_folder(program: str) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(program))) as packed:
        names = {each for each in packed.namelist() if each.startswith(f"remote/{program}/")}
    tracked = subprocess.run(
        ("git", "ls-files", f"remote/{program}"), capture_output=True, text=True, cwd=PROJECT
    )
    assert names >= set(tracked.stdout.split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_knows_its_version_without_its_file(program: str, tmp_path: Path) -> None:
    file = tmp_path / "packed"
    file.write_bytes(archive(program))
    asked = f"""
import runpy, sys
sys.argv = [{str(file)!r}, "--help"]
try:
    runpy.run_path({str(file)!r}, run_name="__main__")
except SystemExit:
    pass
open({str(file)!r}, "w").close()
print("version", sys.modules["remote.archive"].version({program!r}))
"""
    done = subprocess.run((sys.executable, "-I", "-c", asked), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"version {version(program)}", done.stderr


def test_nothing_is_imported_later_from_an_archive_that_may_be_replaced() -> None:
    late = [
        f"{path.name}:{node.lineno}"
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Call) and "get_data" in ast.unparse(node.func))
    ]
    assert late == [late[0]] == [each for each in late if each.startswith("texts.py:")]
    asked = """
import sys
import remote.{0}.__main__
print(*sorted(each for each in sys.modules if each.startswith("remote.{0}.")))
"""
    for program in PROGRAMS:
        done = subprocess.run(
            (sys.executable, "-c", asked.format(program)),
            check=True,
            capture_output=True,
            text=True,
            cwd=PROJECT,
        )
        modules = {
            f"remote.{program}.{each.stem}" for each in (PROJECT / "remote" / program).glob("*.py")
        }
        assert set(done.stdout.split()) == modules - {f"remote.{program}.__init__"}
