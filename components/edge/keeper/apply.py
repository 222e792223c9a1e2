"""Puts a haproxy.cfg into force: checked, swapped, reloaded, and put back if that fails."""

import re
import shutil
import socket

from components.edge.keeper import chroot, install, memory, parts, timer, users
from components.edge.keeper.archive import archive
from components.edge.keeper.checks import await_servers, checks
from components.edge.keeper.instance import Instance
from components.edge.keeper.renew import renew
from components.edge.keeper.system import EdgeError, haproxy, poll, run
from components.edge.keeper.systemd import RESTART_SECONDS
from components.edge.keeper.tls import spec_in, with_certificates


def ports_in_use(text: str, previous: str) -> list[str]:
    """Return the addresses that a new configuration listens on and that somebody else holds."""
    taken = []
    before = _listening(previous)
    for (host, port), keys in sorted(_listening(text).items()):
        if (host, port) in before:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                taken.append(f"{keys[0]} {host}, {keys[1]} {port}: {error.strerror}")
    return taken


def _listening(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the addresses and ports in a text, with the paths of their keys in the config."""
    found, key = {}, "edge"
    for line in text.splitlines():
        if line.startswith("frontend "):
            key = "edge.stats" if line == "frontend _stats" else "edge"
        # The line may say of which key its port is.
        if listening := re.match(r"\s+bind (\S+):(\d+)(?:.* # (\S+))?$", line):
            found[listening[1], listening[2]] = (f"{key}.bind", listening[3] or f"{key}.port")
    return found


def apply(instance: Instance, text: str, ready_seconds: float) -> None:
    """Put the configuration ``text`` into force, with the parts that are in it.

    Raises:
        EdgeError: It cannot be; what was in force before still is.
    """
    install.haproxy()
    chroot.make(instance.folder)
    if not instance.state.exists():
        instance.forget_state()
    given = memory.limited(users.included(instance.folder, parts.take_apart(text)))
    new = parts.Parts(given.config, with_certificates(instance, given.files))
    check(instance, new)
    # One whose worker was just killed is about to be back.
    running = poll(instance.running, 10 * RESTART_SECONDS if instance.live.exists() else 0)
    before = parts.Parts("", {})
    if running and instance.live.exists():
        before = parts.Parts(instance.live.read_text(), parts.read(instance.files))
    taken = ports_in_use(new.config, before.config)
    if taken:
        raise EdgeError("\n".join(taken) + "; free the port, or choose another one in the config")
    await_servers(checks(new.config) - checks(before.config), ready_seconds)
    instance.keep_program(archive())
    if not running or before != new:
        put(instance, before if running else None, new)
    instance.close_folder()
    users.forget_others(instance.folder, new)
    look_after_certificates(instance, new)


def put(instance: Instance, before: parts.Parts | None, new: parts.Parts) -> None:
    """Swap the files and have HAProxy read them.

    Args:
        instance: The edge.
        before: What is in force, None if HAProxy does not run.
        new: What was found to be right.

    Raises:
        EdgeError: HAProxy does not take it; what was in force before still is.
    """
    if before is not None:
        instance.save_state(before.config, new.config)
    swap(instance, new)
    try:
        if before is None:
            instance.start()
        elif not instance.reload():
            log = instance.last_words()
            swap(instance, before)
            instance.reload()
            raise EdgeError(
                "HAProxy could not take up the new configuration when it was reloaded, and goes on"
                f" with the old one:\n{log}"
            )
    finally:
        instance.forget_state()


def look_after_certificates(instance: Instance, new: parts.Parts) -> None:
    """Obtain those that are missing, now that the edge serves, and see to the later ones.

    What is missing does not stop an update: the edge serves with what it has.
    """
    spec = spec_in(new.files)
    if spec is None:
        timer.stop(instance)
        return
    timer.start(instance)
    if spec.acme is not None:
        renewed = renew(instance)
        for each in renewed.taken_up:
            print(f"certificate taken up for {each}")
        for problem in renewed.problems:
            print(f"warning: {problem}")


def check(instance: Instance, new: parts.Parts) -> None:
    """Have HAProxy judge a configuration with its files, beside those in force.

    Raises:
        EdgeError: It refuses it; with its own message.
    """
    candidate = instance.live.with_suffix(".cfg.new")
    beside = instance.files.with_suffix(".new")
    moved = {
        name: text.replace(f"{instance.files}/", f"{beside}/")
        for name, text in (*new.files.items(), ("", new.config))
    }
    try:
        parts.write_file(candidate, moved.pop(""))
        parts.write(beside, moved)
        result = run(haproxy(), "-c", "-f", str(candidate))
    finally:
        candidate.unlink(missing_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
    if result.returncode != 0:
        told = result.stdout.replace(f"{beside}/", f"{instance.files}/")
        raise EdgeError(f"HAProxy refuses the new configuration:\n{told}")


def swap(instance: Instance, new: parts.Parts) -> None:
    """Put a configuration and its files where HAProxy finds them at its next reload."""
    # What both name is there throughout: HAProxy may be started again at any time.
    parts.write(instance.files, {**parts.read(instance.files), **new.files})
    parts.write_file(instance.live, new.config)
    parts.write(instance.files, new.files)
