"""The engine under real programs of the SDK, in this process and, where it is killed, in others."""

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from lab.engine import __main__ as command
from lab.engine.errors import EngineError, Refused
from lab.engine.program import stack_config
from lab.engine.run import Options
from lab.engine.state import StateFile
from tests.unit.engine_fakes import CATALOGUE
from tests.unit.engine_project import Project, killed_up


def test_a_program_is_applied_and_its_exports_are_kept(project: Project) -> None:
    project.write(
        """
thing = Thing("a", {"color": config.require("color")}, managed)
pulumi.export("echo", thing.echo)
pulumi.export("structured", config.require_object("nested")["list"][1])
""",
        "{color: red, 'proj:nested': {list: [1, 2]}}",
    )
    assert project.run() == 0, project.printed
    assert project.outputs() == {"echo": "made red", "structured": 2}
    assert project.run() == 0
    assert "no changes: 3 unchanged" in project.printed


def test_urns_are_those_of_the_real_engine(project: Project) -> None:
    project.write("""
outer = Group("outer")
inner = Group("inner", pulumi.ResourceOptions(parent=outer))
Thing("a", {}, pulumi.ResourceOptions(provider=provider, parent=inner))
""")
    project.run()
    urns = [each.urn for each in StateFile(project.folder / "state").load().resources]
    assert "urn:pulumi:test::proj::pulumi:pulumi:Stack::proj-test" in urns
    assert "urn:pulumi:test::proj::my:own:Group$my:own:Group::inner" in urns
    assert "urn:pulumi:test::proj::my:own:Group$my:own:Group$fake:index:Thing::a" in urns


def test_outputs_that_a_preview_cannot_know_are_unknown_in_the_program(project: Project) -> None:
    project.write("""
a = Thing("a", {"color": "red"}, managed)
a.echo.apply(lambda echo: print("echo is", echo))
Thing("b", {"color": a.echo}, managed)
""")
    assert project.run("preview") == 0
    assert "fake:index:Thing b create" in project.printed
    assert project.things() == []


def test_a_component_that_was_there_before_sets_its_outputs_itself(project: Project) -> None:
    project.write("""
class Typed(pulumi.ComponentResource):
    parts: dict[str, Thing]
    def __init__(self, name):
        super().__init__("my:own:Typed", name, None, None)
        self.parts = {"a": Thing("a", {}, managed)}
        self.register_outputs({"parts": ["a"]})
Typed("typed")
""")
    assert project.run() == 0
    assert project.run() == 0, project.printed


def test_secret_outputs_arrive_secret_and_are_not_printed(project: Project) -> None:
    project.write("""
a = Thing("a", {"hidden": pulumi.Output.secret("hunter2"), "color": "red"},
          pulumi.ResourceOptions(provider=provider, additional_secret_outputs=["echo"]))
pulumi.export("echo", a.echo)
Thing("b", {"color": a.echo}, managed)
""")
    assert project.run() == 0
    assert "hunter2" not in project.printed
    assert project.outputs() == {"echo": "[secret]"}
    assert project.outputs(show_secrets=True) == {"echo": "made red"}


def test_a_failed_resource_stops_what_depends_on_it_only(project: Project) -> None:
    project.write("""
bad = Thing("bad", {"fail": "create"}, managed)
Thing("after", {}, pulumi.ResourceOptions(provider=provider, depends_on=[bad]))
""")
    assert project.run() == 1
    assert "error: bad: the world is full" in project.printed
    assert "Traceback" not in project.printed
    assert "after" not in project.state()


def test_a_program_that_refuses_its_config_changes_and_deletes_nothing(project: Project) -> None:
    project.write('Thing("a", {}, managed)')
    project.run()
    before = project.things()
    (project.folder / "__main__.py").write_text(
        "import pulumi\nraise pulumi.RunError('a.b: must be at least 1 (got 0)')\n"
    )
    assert project.run() == 1
    assert "error: a.b: must be at least 1 (got 0)" in project.printed
    assert "Traceback" not in project.printed
    assert project.things() == before
    assert "a" in project.state()


def test_a_program_reads_its_own_stacks_state_as_it_was(project: Project) -> None:
    project.write(
        'told = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs",'
        ' {"stackName": "test"}).value["outputs"]\n'
        'print("told", {urn.split("::")[3]: each["outputs"].get("note")'
        ' for urn, each in told.items() if each["type"] == "my:own:Group"})\n'
        'compile("1 + 1", "", "eval")  # the SDK has nested an event loop for the call\n'
        'exports = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": "test"})\n'
        'print("exported", exports.value["outputs"])\n'
        'pulumi.export("some", 1)\n'
        'group = Group("g")\n'
        'group.register_outputs({"note": Thing("a", {"color": "red"}, managed).color})\n'
    )
    seen = []
    for operation in ("preview", "up", "preview"):
        with redirect_stdout(io.StringIO()) as printed:
            assert project.run(operation) == 0
        seen.append(printed.getvalue().splitlines())
    nothing, all_of_it = ["told {}", "exported {}"], ["told {'g': 'red'}", "exported {'some': 1.0}"]
    assert seen == [nothing, nothing, all_of_it]


def test_an_exception_is_shown_from_the_programs_own_line_on(project: Project) -> None:
    project.write("def broken():\n    return 1 / 0\nbroken()\n")
    assert project.run() == 1
    assert "ZeroDivisionError" in project.printed
    assert "runpy" not in project.printed


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ('Thing("a", {"shape": "x"}, managed)', "does not implement the input shape"),
        ('Thing("a", {}, None, "other:index:Thing")', "the resource type other:index:Thing"),
        ('Thing("a", {})', "no default provider of fake"),
        ('Thing("a", {}, pulumi.ResourceOptions(provider=provider, import_="x"))', "import_"),
        ('Thing("a", {}, pulumi.ResourceOptions(provider=provider, version="9.0.0"))', "9.0.0"),
        (
            'Thing("a", {}, pulumi.ResourceOptions(provider=provider, retain_on_delete=True))',
            "retain_on_delete",
        ),
        (
            'Thing("a", {}, pulumi.ResourceOptions(provider=provider,'
            ' aliases=[pulumi.Alias(name="b")]))',
            "aliases",
        ),
        ('pulumi.runtime.invoke("fake:index:look", {})', "the function fake:index:look"),
        (
            'Thing("a", {}, pulumi.ResourceOptions(provider=provider, id="x"))',
            "does not implement get",
        ),
        (
            'Group("g", pulumi.ResourceOptions(replace_on_changes=["x"]))',
            "does not implement replace_on_changes",
        ),
        (
            "pulumi.runtime.register_resource_transform(lambda args: None)",
            "does not implement stack transforms",
        ),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(
    project: Project, program: str, expected: str
) -> None:
    project.write(program)
    assert project.run() == 1
    assert re.search(expected, project.printed), project.printed
    assert project.things() == []


def test_options_reach_the_engine(project: Project) -> None:
    program = """
vm = Thing("vm", {"size": config.require_int("size")}, managed)
Thing("box", {"color": config.require("color")}, pulumi.ResourceOptions(
    provider=provider, deleted_with=vm, ignore_changes=["color"],
    custom_timeouts=pulumi.CustomTimeouts(create="1h30m")))
Thing("along", {}, pulumi.ResourceOptions(provider=provider, replace_with=[vm]))
Thing("trigger", {}, pulumi.ResourceOptions(
    provider=provider, replacement_trigger=config.require("color")))
Thing("paint", {"color": config.require("color")}, pulumi.ResourceOptions(
    provider=provider, replace_on_changes=["color"], delete_before_replace=True))
"""
    project.write(program, "{size: 1, color: red}")
    assert project.run() == 0, project.printed
    box = next(
        each for each in StateFile(project.folder / "state").load().resources if each.name == "box"
    )
    assert box.timeouts.create == 5400
    project.write(program, "{size: 1, color: blue}")
    assert project.run("preview") == 0
    assert "+- fake:index:Thing trigger replace (replacement trigger)" in project.printed
    assert "+- fake:index:Thing paint replace" in project.printed
    assert "Thing box" not in project.printed
    project.write(program, "{size: 2, color: red}")
    assert project.run() == 0
    assert "+- 3 replaced" in project.printed
    assert (project.world / "log").read_text().count("delete box") == 0


def test_structured_config_is_json_and_encrypted_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text("config: {a: 1, proj:b: true, other:c: [x], d: {e: 2GiB}, f: text}\n")
    assert stack_config(path, "proj") == {
        "proj:a": "1",
        "proj:b": "true",
        "other:c": '["x"]',
        "proj:d": '{"e": "2GiB"}',
        "proj:f": "text",
    }
    path.write_text("config: {proj:a: {secure: abc}}\n")
    with pytest.raises(Refused, match=r"config\.proj:a: .* encrypted"):
        stack_config(path, "proj")
    path.write_text("config: {proj:a: }\n")
    with pytest.raises(EngineError, match=r"config\.proj:a: must have a value"):
        stack_config(path, "proj")


def test_the_command_line_reports_a_missing_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["up", "--project", str(tmp_path), "--state", str(tmp_path / "state")]
    assert command.main(arguments, CATALOGUE) == 1
    assert f"error: {tmp_path}/Pulumi.yaml: cannot be read" in capsys.readouterr().out


KILLED = """
a = Thing("a", {"color": "red"}, managed)
Thing("b", {"fail": config.get("fail")}, pulumi.ResourceOptions(
    provider=provider, depends_on=[a], deleted_with=a))
"""


@pytest.mark.parametrize("fail", ["die before", "die after"])
def test_a_killed_run_is_simply_run_again(project: Project, fail: str) -> None:
    project.write(KILLED, f"{{fail: {fail}}}")
    killed_up(project)
    assert len(project.things()) == (2 if fail == "die after" else 1)
    project.write(KILLED)
    assert project.run("preview") == 0
    assert "the last run was cut short at: create b" in project.printed
    assert project.run() == 0, project.printed
    assert "the last run was cut short at: create fake:index:Thing b" in project.printed
    assert len(project.things()) == 2
    assert StateFile(project.folder / "state").load().pending == []
    assert project.run() == 0
    assert "no changes" in project.printed


def test_a_killed_run_can_be_destroyed(project: Project) -> None:
    project.write(KILLED, "{fail: die after}")
    killed_up(project)
    assert project.run("destroy") == 0
    assert project.things() == []


def test_a_creation_whose_answer_was_lost_is_looked_up_by_the_next_run(project: Project) -> None:
    project.write('Thing("a", {"fail": "lost"}, managed)')
    assert project.run() == 1
    assert len(project.things()) == 1
    project.write('Thing("a", {}, managed)')
    assert project.run() == 0
    assert len(project.things()) == 1


def test_what_cannot_be_looked_up_stays_noted_until_it_can(project: Project) -> None:
    project.write(KILLED, "{fail: die after}")
    killed_up(project)
    (project.world / "unreachable").touch()
    project.write(KILLED)
    assert project.run() == 0
    assert "stays noted" in project.printed
    assert len(project.things()) == 3
    (project.world / "unreachable").unlink()
    assert project.run() == 0
    assert len(project.things()) == 2


def test_what_goes_with_a_deleted_resource_is_no_longer_noted(project: Project) -> None:
    project.write(KILLED, "{fail: die after}")
    killed_up(project)
    (project.world / "unreachable").touch()
    assert project.run("destroy") == 0
    assert StateFile(project.folder / "state").load().pending == []


def test_a_signal_ends_the_run_after_what_has_begun(project: Project) -> None:
    project.write("""
a = Thing("a", {"fail": "stop"}, managed)
Thing("b", {}, pulumi.ResourceOptions(provider=provider, depends_on=[a]))
""")
    assert project.run() == 1
    assert "stopping after what has begun" in project.printed
    assert project.state() == ["proj-test", "p", "a"]
    assert StateFile(project.folder / "state").load().pending == []


def test_outputs_of_a_failed_run_are_the_last_complete_ones(project: Project) -> None:
    project.write('pulumi.export("x", 1)')
    project.run()
    project.write('pulumi.export("x", 2)\nThing("bad", {"fail": "create"}, managed)')
    assert project.run() == 1
    assert project.outputs() == {"x": 1}


def test_outputs_are_json_on_the_command_line(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write('pulumi.export("x", {"y": [1]})')
    project.run()
    arguments = ["outputs", "--stack", "test", "--state", str(project.folder / "state"), "--json"]
    assert command.main(arguments, CATALOGUE) == 0
    assert json.loads(capsys.readouterr().out) == {"x": {"y": [1]}}


def test_up_with_refresh_repairs(project: Project) -> None:
    project.write('Thing("a", {}, managed)')
    project.run()
    next(project.world.glob("thing-*")).unlink()
    assert project.run("up", Options(refresh=True)) == 0
    assert len(project.things()) == 1
    assert "is gone" in project.printed
