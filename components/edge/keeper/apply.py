"""Puts a haproxy.cfg into force: checked, swapped, reloaded, and put back if that fails."""

import re
import shutil
import socket

from components.edge.keeper import install, parts
from components.edge.keeper.archive import archive
from components.edge.keeper.checks import await_servers, checks
from components.edge.keeper.instance import RESTART_SECONDS, Instance
from components.edge.keeper.system import EdgeError, haproxy, poll, run


def ports_in_use(text: str, previous: str) -> list[str]:
    """Return the addresses that a new configuration listens on and that somebody else holds."""
    taken = []
    for line in set(text.splitlines()) - set(previous.splitlines()):
        listening = re.match(r"\s+bind (\S+):(\d+)", line)
        if listening is None:
            continue
        host, port = listening.groups()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                taken.append(f"edge.bind {host}, edge.port {port}: {error.strerror}")
    return taken


def apply(instance: Instance, text: str, ready_seconds: float) -> None:
    """Put the configuration ``text`` into force, with the parts that are in it.

    Raises:
        EdgeError: It cannot be; what was in force before still is.
    """
    install.haproxy()
    instance.open_to_workers()
    if not instance.state.exists():
        instance.forget_state()
    new = parts.take_apart(text)
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
    if running and before == new:
        return
    if running:
        instance.save_state(before.config, new.config)
    swap(instance, new)
    try:
        if not running:
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
        candidate.write_text(moved.pop(""))
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
    candidate = instance.live.with_suffix(".cfg.new")
    candidate.write_text(new.config)
    candidate.replace(instance.live)
    parts.write(instance.files, new.files)
