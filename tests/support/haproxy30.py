"""HAProxy 3.0 as Debian 13 has it, unpacked into the lab's cache and not installed.

It runs with that release's C library, by its loader. At a reload HAProxy executes itself by its
first argument, which is the path of the wrapper script, so the new process does the same.
"""

import os
import subprocess
from pathlib import Path

from lab import packages
from lab.console import step
from lab.images import apt, debian
from lab.images.cache import cached, digest, recipe_files

SUITE = "trixie"
_SCRIPT = """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
libraries=$root/usr/lib/x86_64-linux-gnu
exec "$libraries/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$libraries" \\
    "$root/usr/sbin/haproxy" "$@"
"""


def folder() -> Path:
    """Return the folder with `haproxy`, to put first on PATH; 50 MB, built in 10 s."""
    packages.ensure()
    return cached("haproxy30", digest(recipe_files(Path(__file__))), build) / "bin"


def build(made: Path) -> None:
    """Unpack Debian 13's HAProxy and what it needs, from this machine's own mirror."""
    mirror = next(each for each in apt.sources(debian.SUITE) if each.codename == debian.SUITE)
    source = apt.Source(uri=mirror.uri, codename=SUITE, components=("main",))
    with step("unpack HAProxy 3.0"):
        debian.run(
            [
                *("mmdebstrap", "--mode=root", "--variant=extract", "--format=directory"),
                "--include=haproxy",
                *(f"--aptopt={option}" for option in apt.options()),
                *(SUITE, str(made / "root"), source.line()),
            ],
            made,
        )
    (made / "bin").mkdir()
    script = made / "bin" / "haproxy"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    shown = subprocess.run([script, "-v"], check=True, capture_output=True, text=True).stdout
    if not shown.startswith("HAProxy version 3.0."):
        raise AssertionError(f"Debian's {SUITE} has another HAProxy: {shown}")


def preferred() -> None:
    """Put HAProxy 3.0 first on PATH, for this process and its children."""
    os.environ["PATH"] = f"{folder()}:{os.environ['PATH']}"
