"""The Pulumi CLI on a lab's stack: ``python -m lab.pulumi.operations up --stack lab …``.

Runs inside the lab, beside its hypervisor. The backend is a folder of the lab, a file has the
generated passphrase, and the CLI gets a copy of the config file, which it writes to: the one in the
repository stays as it is. A lab's config has its secrets in plain text; in the copy they are
encrypted, as `pulumi config set --secret` does, because Pulumi keeps the config of each update.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.lock import Lock, LockError
from lab.pulumi import resident, state_file
from lab.pulumi.config import Copy
from lab.pulumi.errors import StackError
from lab.pulumi.project import project_name
from lab.pulumi.tools import environment
from recovery.notes import notes, run_again
from recovery.processes import kill_tree, processes_with
from recovery.things import RemoveError, Unreachable

REFRESH_SECONDS = 300.0
"""Seconds. A refresh of some 40 resources takes 20; provider 0.8.1 can hang in it forever."""
REFRESH_TRIES = 3


class TookTooLongError(Exception):
    """A run of the CLI exceeded its time limit, and was killed with its plugins."""


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """The CLI on one stack."""

    stack: str
    project: Path
    config_file: Path
    folder: Path
    """Backend, passphrase, the programs (see `tools.lay_out`), and the copy of the config file."""
    refresh_seconds: float = REFRESH_SECONDS

    def preview(self) -> int:
        """Show what `up` would do, and change nothing."""
        with self._prepared() as variables:
            return self._pulumi(variables, "preview", "--diff")

    def up(self, *, refresh: bool, apart: bool = True) -> int:
        """Apply the program.

        Args:
            refresh: Read the existing resources first.
            apart: Refresh in a run before, with a time limit: some providers can hang in it.
        """
        with self._prepared() as variables:
            self._recover()
            if refresh and apart:
                code = self._refresh(variables, targets=())
                if code != 0:
                    return code
            more = ("--refresh",) if refresh and not apart else ()
            return self._pulumi(variables, "up", "--yes", "--skip-preview", *more)

    def refresh(self, *, target_types: Sequence[str]) -> int:
        """Refresh the state from the existing resources."""
        with self._prepared() as variables:
            self._recover()
            return self._refresh(variables, self._targets(target_types))

    def destroy(self, *, ignore_protect: bool = False) -> int:
        """Delete everything; protected resources only with `ignore_protect`."""
        with self._prepared() as variables:
            self._recover()
            more = ("--ignore-protect",) if ignore_protect else ()
            return self._pulumi(variables, "destroy", "--yes", "--skip-preview", *more)

    def outputs(self, *, show_secrets: bool) -> dict[str, Any]:
        """Return the program's outputs; none if it was never applied.

        Raises:
            StackError: The state cannot be read, or the CLI fails.
        """
        if not self._state.exists():
            return {}
        if not show_secrets:
            return state_file.outputs(self._latest())
        outputs: dict[str, Any] = json.loads(
            self._capture("stack", "output", "--json", "--show-secrets")
        )
        return outputs

    def _latest(self) -> dict[str, Any]:
        try:
            return state_file.read(self._state)
        except ValueError as error:
            raise StackError(str(error)) from error

    def export(self) -> dict[str, Any]:
        """Return the state with its secrets in plain text, as the CLI exports it."""
        exported: dict[str, Any] = json.loads(self._capture("stack", "export", "--show-secrets"))
        return exported

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[Mapping[str, str]]:
        """Lock the stack, and prepare what the CLI needs.

        Yields the environment in which the CLI finds its plugins, and they find the resident.
        """
        ours = environment(self.folder, os.environ)
        with Lock(self.folder / "lock"), resident.running(ours) as variables:
            self._prepare()
            yield variables

    def _prepare(self) -> None:
        (self.folder / "backend").mkdir(mode=0o700, exist_ok=True)
        passphrase = self.folder / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_text(secrets.token_urlsafe(32))
        # A separate project, because `pulumi stack init` writes its salt beside the project's file.
        self._shadow.mkdir(mode=0o700, exist_ok=True)
        (self._shadow / "Pulumi.yaml").write_text(
            f"name: {project_name(self.project)}\nruntime: yaml\n", encoding="utf-8"
        )
        copy = Copy(self.config_file, self._config_copy)
        if copy.fresh and self._state.exists():
            return
        hidden = copy.write()
        if not self._state.exists():
            self._capture("stack", "init", "--no-select")
        for key, value in hidden.items():
            self._capture("config", "set", "--secret", "--path", key, stdin=f"{value}\n")
        copy.done()

    @property
    def _state(self) -> Path:
        return state_file.path(self.folder / "backend", project_name(self.project), self.stack)

    @property
    def _shadow(self) -> Path:
        return self.folder / "project"

    @property
    def _config_copy(self) -> Path:
        return self._shadow / f"Pulumi.{self.stack}.yaml"

    def _command(self, *arguments: str) -> list[str]:
        # By its path, because its name would be looked up on this process's PATH.
        return [
            *(str(self.folder / "bin" / "pulumi"), *arguments, "--stack", self.stack),
            *("--non-interactive", "--color", "never"),
        ]

    def _pulumi(
        self, variables: Mapping[str, str], *arguments: str, limit: float | None = None
    ) -> int:
        """Run an operation on the program's stack, with its output on ours.

        Raises:
            TookTooLongError: It did not end within `limit` seconds.
        """
        with subprocess.Popen(
            (
                # The CLI ends with this process; the next run removes its leftovers.
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *self._command(*arguments),
                *("--config-file", str(self._config_copy), "--suppress-permalink=true"),
            ),
            cwd=self.project,
            env=variables,
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
        """Run a query on the stack and return the CLI's output.

        Raises:
            StackError: It failed; the text is its own.
        """
        done = subprocess.run(
            self._command(*arguments),
            cwd=self._shadow,
            env=environment(self.folder, os.environ),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"pulumi {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _refresh(self, variables: Mapping[str, str], targets: Sequence[str]) -> int:
        for attempt in range(1, REFRESH_TRIES + 1):
            try:
                return self._pulumi(
                    variables,
                    *("refresh", "--yes", "--skip-preview", *targets),
                    limit=self.refresh_seconds,
                )
            except TookTooLongError:
                print(
                    f"the refresh did not end within {self.refresh_seconds:.0f} s "
                    f"(try {attempt} of {REFRESH_TRIES}); it and its plugins were stopped",
                    flush=True,
                )
                self._recover()
        raise StackError(
            f"{REFRESH_TRIES} refreshes did not end within {self.refresh_seconds:.0f} s each"
        )

    def _recover(self) -> None:
        """Remove the leftovers of a killed run: processes, its lock, half-created resources.

        This run holds the lab's lock, so the other run's command has ended.
        """
        backend = environment(self.folder, os.environ)["PULUMI_BACKEND_URL"]
        for pid in processes_with(f"PULUMI_BACKEND_URL={backend}", "pulumi"):
            kill_tree(pid)
        locks = self.folder / "backend" / ".pulumi" / "locks"
        if any(path.is_file() for path in locks.rglob("*.json")):
            print("the last run was cut short: its lock is removed", flush=True)
            self._capture("cancel", "--yes")
        if not self._latest().get("pending_operations"):
            return
        exported = self.export()
        with contextlib.chdir(self.project):  # where the paths in the state start from
            found = notes(exported["deployment"])
            for note in found:
                print(f"the last run was cut short at: {note}", flush=True)
                if note.unknown:
                    print(f"  it stays in the state: {note.unknown}", flush=True)
                if note.left is not None:
                    print(f"  removing {note.left}", flush=True)
                    note.left.remove()
        if found and not any(note.unknown for note in found):
            run_again(exported["deployment"])
            # Pulumi drops all pending operations of a state that it imports.
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m lab.pulumi.operations", description=__doc__)
    made.add_argument("operation", choices=("preview", "up", "refresh", "destroy", "outputs"))
    made.add_argument("--stack", default="lab")
    made.add_argument("--project", type=Path, default=Path(), help="the program's folder")
    made.add_argument("--config-file", type=Path, help="default: Pulumi.<stack>.yaml")
    made.add_argument("--state", type=Path, required=True, help="the folder of the state")
    made.add_argument("--refresh", action="store_true", help="read the real resources first")
    made.add_argument(
        "--refresh-apart", action="store_true", help="for up: refresh with a time limit"
    )
    made.add_argument("--refresh-timeout", type=float, default=REFRESH_SECONDS, metavar="SECONDS")
    made.add_argument(
        "--target-type",
        action="append",
        default=[],
        metavar="TYPE",
        help="for refresh: only resources of this type (* is a wildcard); may be repeated",
    )
    made.add_argument(
        "--ignore-protect", action="store_true", help="for destroy: protected resources, too"
    )
    made.add_argument(
        "--show-secrets", action="store_true", help="for outputs: show secrets in plain text"
    )
    return made


def main(arguments: list[str]) -> int:
    """Run one operation and return the exit code."""
    args = parser().parse_args(arguments)
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
            return cli.up(refresh=args.refresh, apart=args.refresh_apart)
        if args.operation == "refresh":
            return cli.refresh(target_types=args.target_type)
        return cli.destroy(ignore_protect=args.ignore_protect)
    except (StackError, LockError, RemoveError, Unreachable) as error:
        print(f"error: {error}", flush=True)
        return 1
    finally:
        if args.operation != "outputs":
            print(f"pulumi {args.operation}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
