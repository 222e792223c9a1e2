"""The real Pulumi CLI on a lab's stack: ``python -m lab.pulumi_cli up --stack lab --state DIR …``.

The same operations and options as the lab engine's. The backend is a folder of the lab, the
passphrase is generated and in a file, and the config file that the CLI writes to is a copy: the one
in the repository stays as it is. A lab's config has its secrets in plain text; in the copy they are
encrypted, as `pulumi config set --secret` does, because Pulumi keeps the config of each update.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.engine.arguments import stack_arguments
from lab.engine.errors import EngineError
from lab.engine.program import project_name
from lab.engine.state import StateFile
from lab.pulumi_config import copy_config
from recovery.notes import notes
from recovery.processes import kill_tree, processes_with
from recovery.things import RemoveError, Unreachable

PLUGINS = {"libvirt": "0.5.4", "docker": "5.2.0", "command": "1.2.1"}
"""The providers by the versions in requirements.txt."""
REFRESH_SECONDS = 300.0
"""A refresh of some 40 resources takes 20 s; provider 0.8.1 can hang in it for good."""
REFRESH_TRIES = 3
_FETCH_SECONDS = 180.0
_USERS_PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105 - a variable's name


def missing_plugins() -> list[str]:
    """Return the names of the plugins that the CLI lacks after an attempt to fetch them."""
    missing = [name for name in PLUGINS if not _has_plugin(name)]
    for name in missing:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ("pulumi", "plugin", "install", "resource", name, PLUGINS[name]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_FETCH_SECONDS,
                check=False,
            )
        if not _has_plugin(name):
            return missing
    return []


def _has_plugin(name: str) -> bool:
    return (
        shutil.which(f"pulumi-resource-{name}") is not None
        or (_pulumi_home() / "plugins" / f"resource-{name}-v{PLUGINS[name]}").is_dir()
    )


def _pulumi_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi"))


class TookTooLongError(Exception):
    """A run of the CLI did not end within its time limit, and was killed with its plugins."""


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """The CLI on one stack."""

    stack: str
    project: Path
    config_file: Path
    folder: Path
    """Backend, passphrase, and the copy of the config file."""
    refresh_seconds: float = REFRESH_SECONDS

    def preview(self) -> int:
        """Tell what `up` would do, and touch nothing real."""
        with self._prepared():
            return self._pulumi("preview", "--diff")

    def up(self, *, refresh: bool) -> int:
        """Make what exists what the program says."""
        with self._prepared():
            self._recover()
            if refresh:
                code = self._refresh(targets=())
                if code != 0:
                    return code
            return self._pulumi("up", "--yes", "--skip-preview")

    def refresh(self, *, target_types: Sequence[str]) -> int:
        """Bring the state in line with what exists."""
        with self._prepared():
            self._recover()
            return self._refresh(self._targets(target_types))

    def destroy(self, *, ignore_protect: bool = False) -> int:
        """Delete everything, also what is protected if `ignore_protect`."""
        with self._prepared():
            self._recover()
            more = ("--ignore-protect",) if ignore_protect else ()
            return self._pulumi("destroy", "--yes", "--skip-preview", *more)

    def outputs(self, *, show_secrets: bool) -> dict[str, Any]:
        """Return what the program exported; nothing if it was never applied.

        Raises:
            EngineError: The CLI does not tell.
        """
        if not self._config_copy.exists():
            return {}
        told = self._capture(
            "stack", "output", "--json", *(["--show-secrets"] if show_secrets else [])
        )
        outputs: dict[str, Any] = json.loads(told)
        return outputs

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        """Hold the stack, and have all in place that the CLI asks for."""
        with StateFile(self.folder).locked():
            self._prepare()
            yield

    def _prepare(self) -> None:
        for name in ("backend", "home"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        plugins, own = _pulumi_home() / "plugins", self.folder / "home" / "plugins"
        if plugins.is_dir() and not own.exists() and not own.is_symlink():
            own.symlink_to(plugins)
        passphrase = self.folder / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_text(secrets.token_urlsafe(32))
        # A project of our own: `pulumi stack init` writes its salt beside the project's file.
        shadow = self._shadow
        shadow.mkdir(mode=0o700, exist_ok=True)
        (shadow / "Pulumi.yaml").write_text(
            f"name: {project_name(self.project)}\nruntime: yaml\n", encoding="utf-8"
        )
        hidden = copy_config(self.config_file, self._config_copy)
        stacks = self.folder / "backend" / ".pulumi" / "stacks"
        if not any(stacks.rglob(f"{self.stack}.json*")):
            self._capture("stack", "init", "--no-select")
        for key, value in hidden.items():
            self._capture("config", "set", "--secret", "--path", key, stdin=f"{value}\n")

    @property
    def _shadow(self) -> Path:
        return self.folder / "project"

    @property
    def _config_copy(self) -> Path:
        return self._shadow / f"Pulumi.{self.stack}.yaml"

    @property
    def _backend_url(self) -> str:
        return f"file://{self.folder / 'backend'}"

    def _environment(self) -> dict[str, str]:
        # The user's own passphrase would be taken before the lab's.
        ours = {key: value for key, value in os.environ.items() if key != _USERS_PASSPHRASE}
        return {
            **ours,
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": self._backend_url,
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def _command(self, *arguments: str) -> list[str]:
        return [
            *("pulumi", *arguments, "--stack", self.stack),
            *("--non-interactive", "--color", "never"),
        ]

    def _pulumi(self, *arguments: str, limit: float | None = None) -> int:
        """Run an operation on the program's stack, with its output on ours.

        Raises:
            TookTooLongError: It did not end within `limit` seconds.
        """
        with subprocess.Popen(
            (
                # The CLI ends with this process; what it leaves then, the next run clears.
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *self._command(*arguments),
                *("--config-file", str(self._config_copy), "--suppress-permalink=true"),
            ),
            cwd=self.project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        ) as process:
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired as error:
                kill_tree(process.pid)
                raise TookTooLongError from error
            except BaseException:
                process.send_signal(signal.SIGINT)
                raise

    def _capture(self, *arguments: str, stdin: str | None = None) -> str:
        """Ask about the stack and return what the CLI prints.

        Raises:
            EngineError: It failed; the text is its own.
        """
        done = subprocess.run(
            self._command(*arguments),
            cwd=self._shadow,
            env=self._environment(),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"pulumi {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _refresh(self, targets: Sequence[str]) -> int:
        for attempt in range(1, REFRESH_TRIES + 1):
            try:
                return self._pulumi(
                    "refresh", "--yes", "--skip-preview", *targets, limit=self.refresh_seconds
                )
            except TookTooLongError:
                print(
                    f"the refresh did not end within {self.refresh_seconds:.0f} s "
                    f"(try {attempt} of {REFRESH_TRIES}); it and its plugins were stopped",
                    flush=True,
                )
                self._recover()
        raise EngineError(
            f"{REFRESH_TRIES} refreshes did not end within {self.refresh_seconds:.0f} s each"
        )

    def export(self) -> dict[str, Any]:
        """Return the state with its secrets in plain text, as the CLI exports it."""
        exported: dict[str, Any] = json.loads(self._capture("stack", "export", "--show-secrets"))
        return exported

    def _recover(self) -> None:
        """Clear what a run that was killed has left: processes, its lock, what it was creating.

        This run holds our own lock, so whoever drove the other one is dead.
        """
        for pid in processes_with(f"PULUMI_BACKEND_URL={self._backend_url}", "pulumi"):
            kill_tree(pid)
        locks = self.folder / "backend" / ".pulumi" / "locks"
        if any(path.is_file() for path in locks.rglob("*.json")):
            print("the last run was cut short: its lock is removed", flush=True)
            self._capture("cancel", "--yes")
        exported = self.export()
        with contextlib.chdir(self.project):  # where the paths in the state start from
            found = notes(exported["deployment"])
            for note in found:
                print(f"the last run was cut short at: {note}", flush=True)
                if note.unknown:
                    print(f"  it stays noted: {note.unknown}", flush=True)
                if note.left is not None:
                    print(f"  removing {note.left}", flush=True)
                    note.left.remove()
        if found and not any(note.unknown for note in found):
            # Whatever is in it: Pulumi drops all notes of a state that it is given.
            self._capture("stack", "import", stdin=json.dumps(exported))

    def _targets(self, types: Sequence[str]) -> list[str]:
        if not types:
            return []
        resources = self.export()["deployment"].get("resources") or []
        urns = [
            each["urn"]
            for each in resources
            if any(fnmatch.fnmatchcase(each["type"], pattern) for pattern in types)
        ]
        return [option for urn in dict.fromkeys(urns) for option in ("--target", urn)]


def main(arguments: list[str]) -> int:
    """Run one operation and return the exit code."""
    parser = stack_arguments("python -m lab.pulumi_cli", __doc__, REFRESH_SECONDS)
    args = parser.parse_args(arguments)
    folder = args.project.resolve()
    cli = PulumiCli(
        stack=args.stack,
        project=folder,
        config_file=(args.config_file or folder / f"Pulumi.{args.stack}.yaml").resolve(),
        folder=args.state.resolve(),
        refresh_seconds=args.refresh_timeout,
    )
    began = time.monotonic()
    try:
        if args.operation == "outputs":
            print(json.dumps(cli.outputs(show_secrets=args.show_secrets), indent=2))
            return 0
        if args.operation == "preview":
            return cli.preview()
        if args.operation == "up":
            return cli.up(refresh=args.refresh)
        if args.operation == "refresh":
            return cli.refresh(target_types=args.target_type)
        return cli.destroy(ignore_protect=args.ignore_protect)
    except (EngineError, RemoveError, Unreachable) as error:
        print(f"error: {error}", flush=True)
        return 1
    finally:
        if args.operation != "outputs":
            print(f"pulumi {args.operation}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
