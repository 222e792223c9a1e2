"""Repair a stack after an interrupted update: ``python -m recovery --stack prod``.

Shows its steps, asks for confirmation, and carries them out: end the processes of the killed
Pulumi, remove its lock, the half-created resources and the pending operations, and update the
stack. It uses ``pulumi`` as it is set up here, with its backend and its secrets.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recovery import processes
from recovery.notes import Note, notes, run_again
from recovery.things import RemoveError, Unreachable

_PASSPHRASES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
_PLUGIN = "pulumi-"  # resource providers and language hosts are called so


class RecoverError(Exception):
    """The stack cannot be repaired now; the text says why."""


@dataclass(frozen=True)
class Pulumi:
    """The CLI in the project's folder, which the paths in a state start from too."""

    project: Path
    stack: str | None
    """None for the selected one."""

    def __call__(self, *arguments: str) -> int:
        """Run an operation, in view of the user, and return its exit code."""
        stack = ("--stack", self.stack) if self.stack else ()
        return subprocess.run(
            ("pulumi", *arguments, *stack), check=False, cwd=self.project
        ).returncode

    def export(self) -> dict[str, Any]:
        """Return the state, its secrets encrypted.

        Raises:
            RecoverError: The CLI fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "state.json")
            if self("stack", "export", "--file", str(file)) != 0:
                raise RecoverError("`pulumi stack export` failed, see above; nothing was changed")
            exported: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return exported

    def unlock(self, exported: dict[str, Any]) -> None:
        """Make sure that the CLI can decrypt the stack's secrets; ask for a passphrase once.

        Args:
            exported: The state, which names their secrets provider.

        Raises:
            RecoverError: It cannot.
        """
        provider = (exported["deployment"].get("secrets_providers") or {}).get("type")
        if provider == "passphrase" and not any(each in os.environ for each in _PASSPHRASES):
            if not sys.stdin.isatty():
                raise RecoverError(
                    f"the stack has a passphrase: set {_PASSPHRASES[0]} or {_PASSPHRASES[1]}, or"
                    " run this in a terminal to be asked for it; nothing was changed"
                )
            os.environ[_PASSPHRASES[0]] = getpass.getpass("Enter the passphrase of the stack: ")
        if self("stack", "export", "--show-secrets", "--file", os.devnull) != 0:
            raise RecoverError(
                "the stack's secrets cannot be decrypted, see above; nothing was changed"
            )

    def put_back(self, exported: dict[str, Any]) -> None:
        """Import a state.

        Raises:
            RecoverError: The CLI refuses it.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "state.json")
            file.touch(mode=0o600)
            file.write_text(json.dumps(exported), encoding="utf-8")
            if self("stack", "import", "--file", str(file)) != 0:
                raise RecoverError("`pulumi stack import` failed, see above; run this again")


def plan(left: list[int], found: list[Note]) -> list[str]:
    """Return the steps, one a line.

    Args:
        left: Processes of the interrupted update.
        found: Its pending operations.
    """
    lines = [f"end {processes.command_line(pid)} (pid {pid})" for pid in left]
    lines.append("pulumi cancel: remove the lock of the interrupted update")
    kept = any(note.unknown for note in found)
    for note in found:
        if note.unknown:
            lines.append(
                f"keep the pending operations: what {note} left is unclear: {note.unknown}"
            )
        elif note.left is not None:
            lines.append(f"REMOVE {note.left}, left by {note}")
        elif not note.effect:
            lines.append(f"repeat: {note}, which left nothing behind")
        elif not note.known and not note.undone:
            lines.append(
                f"repeat: {note}, which may have taken effect, and which nothing undoes if the"
                " config does not have it any more"
            )
        elif kept and not note.known:
            lines.append(
                f"repeat: {note}, which may have taken effect; while pending operations are kept,"
                " nothing undoes it if the config does not have it any more"
            )
        elif kept:
            urn = note.operation["resource"]["urn"]
            lines.append(
                f"only if the config changes it: {note}, which may have taken effect; otherwise run"
                f" `pulumi up --replace '{urn}'` afterwards"
            )
        elif note.known:
            lines.append(f"run again: {note}, which may have taken effect")
        else:
            lines.append(
                f"run again, or undo if the config does not have it any more: {note}, which may"
                " have taken effect"
            )
    return [*lines, "pulumi refresh: read what really exists", "pulumi up"]


def recover(pulumi: Pulumi, *, sure: bool) -> int:
    """Bring the stack back; the exit code is that of ``pulumi up``.

    Args:
        pulumi: The CLI on the stack.
        sure: Ask nothing.

    Raises:
        RecoverError: An update is under way, or something cannot be removed.
    """
    alive = [
        pid
        for pid in processes.programs_in(pulumi.project, "pulumi")
        if not processes.name(pid).startswith(_PLUGIN)
    ]
    if alive:
        running = ", ".join(f"{processes.command_line(pid)} (pid {pid})" for pid in alive)
        raise RecoverError(f"is still running here: {running}; wait for it, or end it first")
    left = processes.programs_in(pulumi.project, _PLUGIN)
    exported = pulumi.export()
    pulumi.unlock(exported)
    found = notes(exported["deployment"])
    print("Steps:")
    print("\n".join(f"  {line}" for line in plan(left, found)), flush=True)
    if not sure and not _agreed():
        print("Nothing was changed.")
        return 1
    for pid in left:
        processes.kill_tree(pid)
    pulumi("cancel", "--yes")  # which fails where there is no lock
    for note in found:
        if note.left is not None:
            print(f"removing {note.left}", flush=True)
            note.left.remove()
    if found and not any(note.unknown for note in found):
        exported = pulumi.export()
        run_again(exported["deployment"])
        # Pulumi drops all pending operations from a state that is imported.
        pulumi.put_back(exported)
    _refresh(pulumi)
    yes = ("--yes", "--skip-preview") if sure else ()
    return pulumi("up", *yes)


def _refresh(pulumi: Pulumi) -> None:
    """Read what exists, and end if data does not seem to exist any more.

    Raises:
        RecoverError: A protected disk or volume has left the state.
    """
    before = pulumi.export()
    if pulumi("refresh", "--yes", "--skip-preview", "--skip-pending-creates") != 0:
        print("some resources could not be read; the update uses their last known state")
    held, left = (protected(each["deployment"]) for each in (before, pulumi.export()))
    vanished = [held[urn] for urn in held.keys() - left.keys()]
    if not vanished:
        return
    state = "the state does not have them any more"
    if not before["deployment"].get("pending_operations"):  # which an import would drop
        pulumi.put_back(before)
        state = "the state still has them"
    raise RecoverError(
        "libvirt or Docker does not list these disks or volumes, which hold data:"
        f" {', '.join(sorted(vanished))}. The"
        f" update was not started, as it would create new, empty ones; {state}. Make them"
        " available, for example by mounting the disk that they are on, and run this again. If"
        " they are lost, run `pulumi refresh` and then `pulumi up`. See docs/operations.md, Data on"
        " VMs"
    )


def protected(deployment: dict[str, Any]) -> dict[str, str]:
    """Return the names of the protected disks and volumes in libvirt and Docker, by their URNs.

    Args:
        deployment: As ``pulumi stack export`` prints it.
    """
    return {
        each["urn"]: str((each.get("outputs") or {}).get("name") or each.get("id"))
        for each in deployment.get("resources") or []
        if each.get("protect") and each["type"].endswith(":Volume")
    }


def _agreed() -> bool:
    try:
        return input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        print("no terminal to ask for confirmation; set YES=1 to continue", flush=True)
        return False


def main(arguments: list[str]) -> int:
    """Run it; code 1 and the reason on stderr if it cannot be done."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python -m recovery", description=summary)
    parser.add_argument("--stack", help="the selected one by default")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--project", type=Path, default=Path(), help="the folder of Pulumi.yaml")
    args = parser.parse_args(arguments)
    try:
        return recover(Pulumi(args.project.resolve(), args.stack or None), sure=args.yes)
    except (RecoverError, RemoveError, Unreachable) as error:
        print(f"recover: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
