"""A Pulumi program in a folder, applied by the lab engine under its fakes."""

import io
import subprocess
import sys
from pathlib import Path

from lab.engine.display import Display
from lab.engine.run import Options, Runner, Stack
from lab.engine.state import StateFile
from tests.unit.engine_fakes import CATALOGUE

PREAMBLE = """
import os, pulumi
WORLD = os.environ["FAKE_WORLD"]

class Provider(pulumi.ProviderResource):
    def __init__(self, name, opts=None):
        super().__init__("fake", name, {"folder": WORLD}, opts)

class Thing(pulumi.CustomResource):
    echo: pulumi.Output[str]
    def __init__(self, name, props=None, opts=None, type_="fake:index:Thing"):
        inputs = {"echo": None, "color": None, "name": None, "hidden": None, **(props or {})}
        super().__init__(type_, name, inputs, opts)

class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("my:own:Group", name, None, opts)

config = pulumi.Config()
provider = Provider("p")
managed = pulumi.ResourceOptions(provider=provider)
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = folder / "world"
        self.world.mkdir()
        (folder / "Pulumi.yaml").write_text("name: proj\nruntime: python\n")
        self.printed = ""

    def write(self, program: str, config: str = "{}") -> None:
        (self.folder / "__main__.py").write_text(PREAMBLE + program)
        (self.folder / "Pulumi.test.yaml").write_text(f"config: {config}\n")

    def run(self, operation: str = "up", options: Options | None = None) -> int:
        stream = io.StringIO()
        try:
            runner = Runner(self.stack(), CATALOGUE, Display(stream))
            code: int = getattr(runner, operation)(options or Options())
            return code
        finally:
            self.printed = stream.getvalue()

    def stack(self) -> Stack:
        return Stack(
            name="test",
            folder=self.folder,
            config_file=self.folder / "Pulumi.test.yaml",
            state_folder=self.folder / "state",
        )

    def outputs(self, *, show_secrets: bool = False) -> dict[str, object]:
        runner = Runner(self.stack(), CATALOGUE, Display(io.StringIO()))
        return runner.outputs(show_secrets=show_secrets)

    def things(self) -> list[str]:
        return sorted(path.name for path in self.world.glob("thing-*"))

    def state(self) -> list[str]:
        return [each.name for each in StateFile(self.folder / "state").load().resources]


RUN = """
import sys
from lab.engine.__main__ import main
from tests.unit.engine_fakes import CATALOGUE
sys.exit(main(sys.argv[1:], CATALOGUE))
"""


def killed_up(project: Project) -> None:
    """Run an `up` in a process of its own, which a resource of the program kills with -9."""
    done = subprocess.run(
        (
            *(sys.executable, "-c", RUN, "up", "--stack", "test"),
            *("--project", str(project.folder), "--state", str(project.folder / "state")),
        ),
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == -9, done.stdout
