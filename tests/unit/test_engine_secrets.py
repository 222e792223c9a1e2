"""What is secret is nowhere in plain text: not in the state's folder, not in what is printed."""

import pytest

from lab.engine.redact import Redactor
from lab.engine.run import Options
from lab.engine.state import StateFile
from lab.engine.values import Secret, has_secret, plain
from tests.unit.engine_project import Project, killed_up

SECRET = "hunter2-and-more"  # noqa: S105 - what is looked for

PROGRAM = """
token = pulumi.Output.secret(os.environ["FAKE_WORLD"] and "hunter2-and-more")
a = Thing("a", {"hidden": token, "color": "red", "tags": ["x", token], "settings": {"deep": token},
                "fail": config.get("fail")},
          pulumi.ResourceOptions(provider=provider, additional_secret_outputs=["echo"],
                                 replacement_trigger=token))
Thing("b", {"hidden": token.apply(lambda text: f"made of {text}")}, managed)
Group("g").register_outputs({"derived": token})
pulumi.export("token", token)
pulumi.export("nested", {"in": [token]})
pulumi.log.info(config.get("say") or "")
"""


def in_plain_text(project: Project) -> list[str]:
    """Return where the secret is."""
    folder = project.folder / "state"
    found = [path.name for path in folder.glob("*") if SECRET.encode() in path.read_bytes()]
    return [*found, *(["what was printed"] if SECRET in project.printed else [])]


def test_a_secret_is_neither_in_the_state_nor_in_what_is_printed(project: Project) -> None:
    project.write(PROGRAM)
    for operation in ("preview", "up", "preview", "refresh"):
        assert project.run(operation) == 0, project.printed
        assert in_plain_text(project) == [], operation
    assert SECRET not in str(project.outputs())
    assert project.outputs(show_secrets=True)["token"] == SECRET
    project.write(PROGRAM.replace('"red"', '"blue"').replace("hunter2", "hunter3"))
    for operation in ("preview", "up", "destroy"):
        assert project.run(operation) == 0, project.printed
        assert in_plain_text(project) == [], operation


def test_what_is_derived_from_a_secret_stays_one_through_state_and_refresh(
    project: Project,
) -> None:
    project.write(PROGRAM)
    project.run()
    project.run("up", Options(refresh=True))
    state = StateFile(project.folder / "state").load()
    by_name = {resource.name: resource for resource in state.resources}
    for name in ("a", "b", "g"):
        for props in (by_name[name].inputs, by_name[name].outputs):
            for key, value in props.items():
                assert has_secret(value) or SECRET not in str(plain(value)), f"{name}.{key}"
    assert has_secret(by_name["a"].outputs["echo"])
    assert has_secret(by_name["b"].outputs["hidden"])
    assert has_secret(by_name["a"].replacement_trigger)
    assert has_secret(by_name["g"].outputs)


def test_an_error_that_quotes_a_secret_is_printed_and_kept_without_it(project: Project) -> None:
    # Without the outputs, from which the engine could have known the secret.
    only_inputs = PROGRAM.partition('Group("g")')[0]
    project.write(only_inputs, "{fail: quote}")
    assert project.run() == 1
    assert "it does not start with" in project.printed
    assert "a: given" in project.printed
    assert in_plain_text(project) == []
    assert project.run("preview") == 0
    assert "last time: it does not start with" in project.printed
    assert in_plain_text(project) == []


def test_a_program_that_logs_a_secret_is_printed_without_it(project: Project) -> None:
    program = PROGRAM.replace("pulumi.log.info(", "a.urn.apply(lambda _: pulumi.log.info(")
    project.write(f"{program.rstrip()})\n", f"{{say: 'the token is {SECRET}.'}}")
    assert project.run() == 0
    assert "the token is [secret]." in project.printed


@pytest.mark.parametrize("fail", ["die before", "die after"])
def test_what_a_killed_run_was_about_to_do_is_noted_without_secrets(
    project: Project, fail: str
) -> None:
    project.write(PROGRAM, f"{{fail: {fail}}}")
    killed_up(project)
    assert in_plain_text(project) == []
    assert StateFile(project.folder / "state").load().pending
    project.write(PROGRAM)
    assert project.run() == 0
    assert in_plain_text(project) == []


def test_changes_that_are_ignored_inside_of_a_secret_stay_secret(project: Project) -> None:
    program = """
settings = {"deep": "hunter2-and-more"}
Thing("a", {"settings": pulumi.Output.secret(settings) if config.get("hide") else {"deep": "new"}},
      pulumi.ResourceOptions(provider=provider, ignore_changes=["settings.deep"]))
"""
    project.write(program, "{hide: 'yes'}")
    assert project.run() == 0
    project.write(program)
    assert project.run() == 0
    (thing,) = [
        each for each in StateFile(project.folder / "state").load().resources if each.name == "a"
    ]
    assert plain(thing.inputs["settings"]) == {"deep": SECRET}
    assert in_plain_text(project) == []


def redacted(secret: object, text: str) -> str:
    redactor = Redactor()
    redactor.learn({"in": [Secret(secret)], "open": "visible"})
    return redactor.redacted(text)


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("hunter2", "is hunter2!", "is [secret]!"),
        ("TOKEN=hunter2", "env TOKEN=hunter2: no hunter2", "env [secret]: no [secret]"),
        ("first line\n  second line\n", "x second line y", "x [secret] y"),
        (
            "user ann password $5$abcdefghij$0123456789",
            "bad $5$abcdefghij$0123456789",
            "bad [secret]",
        ),
        ("hunter", "hunter and hunter2", "[secret] and [secret]2"),
        (31337, "port 31337", "port [secret]"),
        ({"deep": "hunter2"}, "hunter2, visible", "[secret], visible"),
        ("a", "a cat", "a cat"),
        (True, "True", "True"),
    ],
)
def test_secrets_are_found_in_texts(secret: object, text: str, shown: str) -> None:
    assert redacted(secret, text) == shown


def test_of_two_secrets_the_longer_one_is_taken_out_whole() -> None:
    redactor = Redactor()
    redactor.learn([Secret("hunter"), Secret("hunter-and-more")])
    assert redactor.redacted("hunter-and-more") == "[secret]"
