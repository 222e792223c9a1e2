"""The grants that are in force, and the rules that they make."""

import contextlib
import fcntl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from remote import mark
from remote.files import staged, write_whole
from remote.vm_firewall import kernel
from remote.vm_firewall.errors import FirewallError
from remote.vm_firewall.grant import Grant
from remote.vm_firewall.kept import KeptGrant, read
from remote.vm_firewall.rules import fallback, ruleset, unit

FOLDER = Path("/etc/gatehouse")
_UNIT_FILE = Path("/etc/systemd/system/gatehouse-firewall.service")


def allow(name: str, grant: Grant, connection: str = "", printed: str = "") -> str:
    """Put a grant into force, and return its mark.

    Args:
        name: Its name.
        grant: The grant.
        connection: The sender's ``SSH_CONNECTION``.
        printed: The previous output for the same grant, which is updated; empty if there was none.

    Raises:
        FirewallError: It would shut out its sender, or nft is missing or refuses the rules.
    """
    _check_lets_in(grant, connection)
    with _locked() as folder:
        # The old file of this grant need not be readable.
        grants = _others(folder, name)
        made = mark.made(printed)
        _put_into_force(folder, {**grants, name: KeptGrant(grant=grant, mark=made)}, name)
    return made


def forbid(name: str, printed: str | None = None) -> str:
    """Take a grant out of force; the last one for SSH stays for SSH.

    Args:
        name: Its name.
        printed: The output of the ``allow`` to undo; None for any.

    Returns:
        A message for the operator.

    Raises:
        FirewallError: nft is missing or refuses the rules.
    """
    with _locked() as folder:
        grants = _others(folder, name)
        file = folder / f"{name}.json"
        last = read(file) if file.exists() else None
        if last is not None and mark.is_another(last.mark, printed):
            return f"{name} was allowed again since, so it stays"
        answered = any(each.grant.ssh and not each.leftover for each in grants.values())
        if last is not None and last.grant.ssh and not answered:
            only_ssh = Grant(ssh=last.grant.ssh)
            grants[name] = replace(last, grant=only_ssh, leftover=True)
        _put_into_force(folder, grants, name)
    return ""


def leftovers(grants: Mapping[str, KeptGrant], changed: str) -> set[str]:
    """Return the names of the leftovers to remove, because another grant allows SSH.

    Args:
        grants: All, by name.
        changed: The name of the newest, which may itself be a leftover.
    """
    sure = {
        name
        for name, each in grants.items()
        if each.grant.ssh and (not each.leftover or name == changed)
    }
    return {name for name, each in grants.items() if each.leftover and sure - {name}}


@contextlib.contextmanager
def _locked() -> Iterator[Path]:
    """Yield the folder of the grants, locked against other commands."""
    folder = FOLDER / "firewall"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _others(folder: Path, name: str) -> dict[str, KeptGrant]:
    files = {each.stem: each for each in folder.glob("*.json") if each.stem != name}
    return {each: read(file) for each, file in files.items()}


def _check_lets_in(grant: Grant, connection: str) -> None:
    client = connection.split(" ")[0]
    if client and grant.shuts_out(client):
        raise FirewallError(
            f"farm.ssh_from: would shut out this machine, which the VM sees as {client};"
            f" add that (got {', '.join(grant.ssh)})"
        )


def _put_into_force(folder: Path, grants: Mapping[str, KeptGrant], changed: str) -> None:
    """Put the grants into force and store them, after one was changed or deleted."""
    gone = leftovers(grants, changed)
    stay = [grants[each].grant for each in sorted(grants) if each not in gone]
    rules = ruleset(stay)
    kernel.check(rules)
    file = folder / f"{changed}.json"
    texts = {FOLDER / "firewall-ssh.nft": fallback(stay), FOLDER / "firewall.nft": rules}
    if changed in grants:
        texts = {file: grants[changed].to_json(), **texts}
    # A grant whose rules did not load must not be in a file: the next command or boot would load
    # it, and nothing would take it away.
    with staged(texts):
        kernel.load(rules)
    for each in gone if changed in grants else {*gone, changed}:
        (folder / f"{each}.json").unlink(missing_ok=True)
    _load_at_boot(unit(FOLDER))


def _load_at_boot(text: str) -> None:
    """Make systemd load the rules at each boot, also if an earlier command was cut short."""
    enabled = _UNIT_FILE.parent / "sysinit.target.wants" / _UNIT_FILE.name
    if not _UNIT_FILE.exists() or _UNIT_FILE.read_text() != text:
        write_whole(_UNIT_FILE, text)
    elif enabled.is_symlink():
        return
    subprocess.run(("systemctl", "enable", "--now", _UNIT_FILE.name), check=True)
