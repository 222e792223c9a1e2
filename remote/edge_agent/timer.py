"""Run ``renew`` every hour: by a systemd timer, or by a loop in a shell without systemd.

It also runs without TLS: ``renew`` reloads an HAProxy that an upgrade has replaced.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from remote.edge_agent import systemd
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, run, text_of
from remote.texts import template_of

_SERVICE = template_of("remote.edge_agent", "renew.service")
_TIMER = template_of("remote.edge_agent", "renew.timer")
LOOP_SECONDS = 3600.0
"""The pause between two runs of the loop."""


def start(instance: Instance) -> None:
    """Start the hourly run of ``renew``, for as long as the edge exists.

    Raises:
        EdgeError: systemd refuses.
    """
    if instance.under_systemd:
        service, timer = units(instance)
        systemd.write_units({service: service_text(instance), timer: timer_text(instance)})
        _remove_old_units(instance)
        result = run("systemctl", "enable", "--now", timer)
        if result.returncode != 0:
            raise EdgeError(f"{timer} does not start:\n{result.stdout}")
        return
    pid, log = (shlex.quote(str(instance.folder / f"renew.{end}")) for end in ("pid", "log"))
    live = shlex.quote(str(instance.live))
    loop = (
        f"echo $$ >{pid}; while [ -e {live} ]; do sleep {LOOP_SECONDS};"
        f" {shlex.join(command(instance))} >{log} 2>&1; done"
    )
    lock = ("flock", "--nonblock", "--close", str(instance.folder / "renew.lock"))
    run("setsid", "--fork", *lock, "/bin/sh", "-c", loop, output=subprocess.DEVNULL)


def stop(instance: Instance) -> None:
    """Stop the hourly run, also during a pause; do nothing if it does not exist."""
    if instance.under_systemd:
        service, timer = units(instance)
        if _folder_of(service) in {None, instance.folder}:
            if any((systemd.UNITS / each).exists() for each in (service, timer)):
                systemd.remove_units(timer, service)
            _remove_old_units(instance)
        return
    pid_file = instance.folder / "renew.pid"
    try:
        pid = int(pid_file.read_text())
        ours = str(instance.program).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if ours:
        os.killpg(os.getpgid(pid), signal.SIGTERM)
    pid_file.unlink()


def command(instance: Instance) -> list[str]:
    """Return the command that renews."""
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    return [python, str(instance.program), "renew", str(instance.folder), instance.name]


def units(instance: Instance) -> tuple[str, str]:
    """Return the names of the service and of its timer.

    No stack's name has an ``@``, so no unit of an edge has one of these names.
    """
    name = f"gatehouse-renew@{instance.name}"
    return f"{name}.service", f"{name}.timer"


def _remove_old_units(instance: Instance) -> None:
    """Remove the units under their names in older versions.

    A service of this name may be another stack's edge: the old unit of ``prod`` has the name of
    ``prod-renew``'s edge.
    """
    service, timer = (f"gatehouse-{instance.name}-renew.{each}" for each in ("service", "timer"))
    old = [timer] if (systemd.UNITS / timer).exists() else []
    if _folder_of(service) == instance.folder:
        old.append(service)
    if old:
        systemd.remove_units(*old)


def _folder_of(service: str) -> Path | None:
    """Return the folder of the edge whose certificates a service renews; None if it renews none."""
    try:
        text = text_of(systemd.UNITS / service)
    except OSError:
        return None
    found = re.search(r"^ExecStart=\S+ \S+/keeper\.pyz renew (/\S+) ", text, re.MULTILINE)
    return Path(found[1]) if found else None


def service_text(instance: Instance) -> str:
    """Return the systemd unit that renews once.

    It may write to all folders: it reads certificates from anywhere, and installs certbot.
    """
    return _SERVICE.substitute(
        name=instance.name,
        command=" ".join(command(instance)),
        confined=systemd.CONFINED,
        folder=instance.folder,
    )


def timer_text(instance: Instance) -> str:
    """Return the systemd timer unit."""
    return _TIMER.substitute(name=instance.name)
