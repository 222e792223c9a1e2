"""The command line of the edge agent and of what runs it elsewhere: nothing is guessed."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from controller import reach
from remote.edge_agent import claims, command, facts, seal, systemd, timer
from remote.edge_agent.__main__ import main
from remote.edge_agent.bundle import Bundle, pack
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError

WRONG = (
    (),
    ("rm", "FOLDER", "prod"),
    ("Remove", "FOLDER", "prod"),
    ("remov", "FOLDER", "prod"),
    ("", "FOLDER", "prod"),
    ("--help-me", "FOLDER", "prod"),
    ("remove",),
    ("remove", "FOLDER"),
    ("remove", "FOLDER", ""),
    ("remove", "FOLDER", "."),
    ("remove", "FOLDER", ".."),
    ("remove", "FOLDER", "a/b"),
    ("remove", "FOLDER", "prod", "now"),
    ("remove", "/", "prod"),
    ("remove", "folder", "prod"),
    ("remove", "FOLDER/../x", "prod"),
    ("apply", "FOLDER", "prod"),
    ("apply", "FOLDER", "prod", "soon"),
    ("apply", "FOLDER", "prod", "nan"),
    ("apply", "FOLDER", "prod", "inf"),
    ("apply", "FOLDER", "prod", "-1"),
    ("renew", "FOLDER", "prod", "later"),
    ("renew", "FOLDER", "prod", "now", "now"),
    ("users", "FOLDER"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "prod"
    made.mkdir()
    (made / "keeper.pyz").touch()
    (made / "haproxy.cfg").write_text("global\n")
    return made


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_what_is_no_command_is_code_2_and_changes_nothing(
    words: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.replace("FOLDER", str(folder)) for word in words]
    for module, each in (
        ("remote.edge_agent", main),
        ("controller.reach", lambda given: reach.main(given, {})),
    ):
        with pytest.raises(SystemExit) as ended:
            each(arguments)
        assert ended.value.code == 2
        assert f"usage: python3 -m {module} " in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {"keeper.pyz", "haproxy.cfg"}


def test_every_action_is_in_the_usage() -> None:
    told = command.parser().format_help()
    for action in ("users", "apply", "renew", "remove", "log", "link", "answer"):
        assert f"    {action} " in told


def test_reach_says_what_its_environment_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert reach.main(["remove", "/srv/prod", "prod"], {"GATEHOUSE_KEY": "edge.host"}) == 2
    assert "has no GATEHOUSE_SSH, GATEHOUSE_HOST" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module",
    [
        "components.config.check",
        "remote.edge_agent",
        "controller.reach",
        "controller.boot",
        "controller.enter",
        "controller.dhcp_reservation",
        "controller.capacity",
        "recovery",
        # In the delete commands of older states, which the first update after an upgrade may run.
        "components.edge.keeper",
        "components.edge.reach",
        "components.vm.boot",
        "components.vm.reserve",
    ],
)
def test_a_command_that_is_none_is_code_2(module: str) -> None:
    done = subprocess.run(
        (sys.executable, "-m", module, "no-such-command", "--no-such-option"),
        capture_output=True,
        text=True,
        env={"PATH": ""},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("usage: ")


FOREIGN = (
    *(("haproxy.cfg",), ("passwd", "hosts"), ("lock", "www"), ("film.part",), ("lock", "a.part")),
    *(("chroot/x", "notes"), ("users/x.cfg", "haproxy.log"), ("keeper.pyz/x",), ("access.log",)),
    *(("next.sock",), ("renew.pid",), ("versions/a/haproxy.cfg",)),
    *(("users/me.txt",), ("users/alice/mail",), ("chroot/etc/passwd",), ("lock/x",), ("users",)),
)
"""Files in the folders of others."""
NOTHING = pack(Bundle("global\n", {facts.FILE: facts.text(facts.Facts())}))
VERBS = tuple(re.findall(r"^    (\w+)  ", command.parser().format_help(), re.MULTILINE))


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return all that is in a folder, and when it was changed."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.stat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


Run = Callable[[Path, str], str]


@pytest.fixture
def refusal(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return the sentence by which the edge agent refuses a verb for a folder."""
    given = tmp_path_factory.mktemp("given") / "text"
    given.write_text(seal.sealed(NOTHING))
    monkeypatch.setenv("CERTBOT_TOKEN", "a")
    monkeypatch.setenv("CERTBOT_VALIDATION", "a.b")

    def run(folder: Path, verb: str) -> str:
        with given.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert main([verb, str(folder), "prod", *(("1",) if verb == "apply" else ())]) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1, told
        return told

    return run


@pytest.mark.parametrize("names", FOREIGN, ids=" ".join)
@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_changes_a_folder_of_others(
    tmp_path: Path, names: Sequence[str], verb: str, refusal: Run
) -> None:
    folder = tmp_path / "etc"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("global\n")
    before = tree(tmp_path)
    assert refusal(folder, verb).startswith("edge prod: edge.folder: ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", ["log", "link", "answer"])
def test_what_runs_beside_an_edge_makes_none(tmp_path: Path, verb: str, refusal: Run) -> None:
    assert set(VERBS) > {"log", "link", "answer"}
    for folder in (tmp_path / "missing", tmp_path):
        before = tree(tmp_path)
        assert refusal(folder, verb).startswith(f"edge prod: edge.folder: no edge is in {folder}, ")
        assert tree(tmp_path) == before


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "units"
    made.mkdir()
    monkeypatch.setattr(systemd, "UNITS", made)
    monkeypatch.setattr(systemd, "run", lambda *_: subprocess.CompletedProcess((), 0, ""))
    monkeypatch.setattr(timer, "run", lambda *_: subprocess.CompletedProcess((), 0, ""))
    return made


def edge(folder: Path, name: str) -> Instance:
    made = Instance(str(folder), name)
    made.under_systemd = True
    return made


def test_another_folder_for_the_same_stack_is_refused_by_its_key(
    units: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.edge_agent.instance.haproxy", lambda: "/usr/sbin/haproxy")
    old, new = edge(tmp_path / "old/prod", "prod"), edge(tmp_path / "new/prod", "prod")
    old.folder.mkdir(parents=True)
    (units / old.unit).write_text(old.unit_text())
    claims.check(old)
    with pytest.raises(EdgeError) as refused:
        claims.check(new)
    message = str(refused.value)
    assert message.startswith("edge.folder: the edge of the stack prod on ")
    assert f"is in {old.folder} and does not move while it serves; set edge.folder to" in message
    assert f"{old.folder.parent} again" in message
    assert message.endswith(f"(got {new.folder.parent})")
    claims.check(edge(tmp_path / "new/prod2", "prod2"))
    with pytest.raises(EdgeError, match=r"is the folder of the edge prod, .* \(got pord\)"):
        claims.check(edge(old.folder, "pord"))
    # By another path, leaving workers would not find the next one's socket.
    (tmp_path / "link").symlink_to(tmp_path / "old")
    with pytest.raises(EdgeError, match=f"is in {old.folder} and does not move"):
        claims.check(edge(tmp_path / "link/prod", "prod"))
    with pytest.raises(EdgeError, match=r"is the folder of the edge prod, .* \(got pord\)"):
        claims.check(edge(tmp_path / "link/prod", "pord"))
    new.stop()
    assert (units / old.unit).exists(), "which is not this folder's"
    old.stop()
    assert not (units / old.unit).exists()


def test_a_disk_that_takes_no_more_is_told_in_a_line_and_not_as_a_fault_of_ours(
    folder: Path,
) -> None:
    told = subprocess.run(
        # As a full disk: no file may get longer, and the error has no path.
        [
            *("prlimit", "--fsize=0", sys.executable, "-m", "remote.edge_agent"),
            *("users", str(folder), "prod"),
        ],
        input=seal.sealed("userlist shop\n"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr == (
        f"edge prod: File too large (below {folder}); fix that, and run this again\n"
    )
