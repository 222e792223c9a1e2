"""Generated configs: each is refused with a path, or rendered to what it says and nothing else.

A few hundred by default. ``FUZZ=full`` (``make fuzz``) takes over a hundred thousand, on all
processors, and prints how many and how long; ``FUZZ_SEED`` repeats a run.
"""

import base64
import functools
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from ipaddress import IPv4Interface
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.config import checks
from components.config.loading import ConfigError, parse
from components.config.machine import MachineFacts
from components.config.models.stack import Stack
from components.edge.edge_vm import EDGE
from components.edge.userlists import userlists
from components.host.container_vm import container_role
from components.vm import cloudinit
from remote.edge_agent import bundle, facts
from remote.edge_agent.tls import LIST
from remote.shipping import archive_command
from tests.support import guests, hostile, rendering
from tests.support.pems import Authority
from tests.support.strategies import SECRET, stacks

FULL = os.environ.get("FUZZ") == "full"
PART = 2000 if FULL else 120  # configs in one run of hypothesis, whose memory grows with them
PARTS = 60 if FULL else 2
HAPROXY_EVERY = 12 if FULL else 6  # of the rendered ones
HAPROXY = shutil.which("haproxy")

few = settings(
    max_examples=1000 if FULL else 30, derandomize=not FULL, deadline=None, database=None
)

_SMALL_MACHINE = MachineFacts(
    memory=2**20,
    networks=(("eth0", IPv4Interface("10.0.0.1/8")), ("eth1", IPv4Interface("192.168.0.1/16"))),
    image_problem="does not exist",
    page_problems=dict.fromkeys(("p", "p%", "p}"), "cannot be read: no such file or directory"),
)
_PROBLEM = re.compile(r"[^ ].*: .+ \((got .+|value hidden: it may be secret)\)")
_KEY = re.compile(r"[A-Za-z0-9_./:@-]{1,100}")


def test_every_config_is_refused_with_a_path_or_rendered_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = int(os.environ.get("FUZZ_SEED", random.getrandbits(32) if FULL else 0))
    started = time.monotonic()
    seeds = range(first, first + PARTS)
    if FULL:
        # Spawned, because gRPC's threads do not survive a fork.
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
            parts = list(processes.map(fuzz, seeds))
    else:
        parts = list(map(fuzz, seeds))
    tally = sum(parts, Counter[str]())
    # A third and two thirds; by chance, 240 configs may have a quarter.
    assert tally["rendered"] > tally["configs"] / 6, tally
    assert tally["refused"] > tally["configs"] / 6, tally
    if FULL:
        with capsys.disabled():
            print(f"\n  FUZZ_SEED={first}, {time.monotonic() - started:.0f} s, {dict(tally)}")


def fuzz(seed: int) -> Counter[str]:
    """Try ``PART`` configs; return how many of them were what."""
    tally = Counter[str]()

    @hypothesis.seed(seed)
    @settings(
        max_examples=PART,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(stacks)
    def attempt(raw: dict[str, Any]) -> None:
        tally["configs"] += 1
        stack = accepted(raw, tally)
        if stack is not None:
            tally["rendered"] += 1
            is_rendered(stack, tally)

    attempt()
    return tally


def accepted(raw: dict[str, Any], tally: Counter[str]) -> Stack | None:
    """Return the config as the program has it, or None if it is refused as it should be."""
    try:
        stack = parse(raw)
    except ConfigError as error:
        problems = error.problems
    else:
        for problem in checks.on_this_machine(stack, _SMALL_MACHINE):
            is_told(raw, problem)
        problems = tuple(checks.in_stack(stack, rendering.STACK))
        if not problems:
            return stack
    assert problems
    for problem in problems:
        is_told(raw, problem)
    tally["refused"] += 1
    tally["problems"] += len(problems)
    return None


def is_told(raw: Mapping[str, Any], problem: str) -> None:
    """Hold a problem against the config that has it: one line, with the path of a key in it."""
    assert problem.isprintable()
    assert _PROBLEM.fullmatch(problem)
    assert len(problem) < 2000
    assert SECRET not in problem
    assert "Input should" not in problem, "a message of pydantic's"
    place: Any = raw
    rest = problem
    while isinstance(place, Mapping | list | tuple):
        keys = list(place) if isinstance(place, Mapping) else range(len(place))
        texts = {str(int(key) if key is True or key is False else key): key for key in keys}
        on_the_way = [text for text in texts if rest.startswith((f"{text}.", f"{text}: "))]
        if not on_the_way:
            break  # a key that is missing, or one that cannot stand in a path as it is
        key = max(on_the_way, key=len)
        rest = rest[len(key) :]
        if rest.startswith(": "):
            return
        place, rest = place[texts[key]], rest[1:]
    assert re.match(r'[A-Za-z_.]+: |"', rest), f"{rest!r} starts with no key of the config"


def is_rendered(stack: Stack, tally: Counter[str]) -> None:
    """Render everything that comes of a config, and hold it against the config."""
    given = rendering.edge_bundle(stack)
    tally["services"] += len(rendering.labels(stack))
    schema = guests.cloud_init_schema()
    for document in guests.user_data(stack):
        tally["documents of VMs"] += 1
        if schema is not None:
            tally["documents that cloud-init's schema accepts"] += 1
            schema.validate(yaml.safe_load(document))
    # By the text and not by a counter, so that an example that fails once fails again.
    if HAPROXY is not None and zlib.crc32(given.config.encode()) % HAPROXY_EVERY == 0:
        tally["haproxy -c"] += 1
        folder = f"{stack.edge.folder}/{rendering.STACK}"
        haproxy_accepts(given, folder, userlists(stack.services))


@functools.cache
def _some_pem() -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = Authority().issue(Path(folder), "example.org")
        return "".join((made / name).read_text() for name in ("fullchain.pem", "privkey.pem"))


def haproxy_accepts(taken: bundle.Bundle, folder: str, users: str = "") -> None:
    """Have the real HAProxy check a configuration; it binds nothing.

    Args:
        taken: As it is rendered.
        folder: The edge's, which another one takes the place of.
        users: The userlists, which the edge agent adds.
    """
    spec = facts.read(taken.files).certificates
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        # The files that it reads, and that the edge agent always makes first.
        (temporary / "servers.state").write_text("1\n")
        (temporary / "pem").write_text(_some_pem())
        lines = [f"{temporary}/pem {domain}\n" for domain in (spec.domains if spec else ())]

        def moved(text: str) -> str:
            # Whole words only: the folder may be /a.
            return re.sub(rf"""(?<=[ @("]){re.escape(folder)}(?=/)""", name, text)

        files = {path: moved(each) for path, each in taken.files.items()}
        bundle.write(temporary / bundle.FOLDER, {**files, LIST: "".join(lines)})
        (temporary / "cfg").write_text(f"{moved(taken.config)}\n{users}")
        checked = subprocess.run(
            ("haproxy", "-c", "-f", temporary / "cfg"), check=False, capture_output=True, text=True
        )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr, checked.stderr


def test_the_real_readers_are_at_hand() -> None:
    missing = [
        *(["haproxy, so no `haproxy -c`"] if HAPROXY is None else []),
        *(["cloud-init's schema; `make fuzz` gets it"] * (guests.cloud_init_schema() is None)),
    ]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")


_guests = st.builds(
    cloudinit.Guest,
    hostname=hostile.text,
    authorized_key=hostile.text,
    host_key_private=hostile.text,
    host_key_public=hostile.text,
    packages=st.lists(hostile.text, max_size=3).map(tuple),
    role=st.just(EDGE) | st.builds(container_role, st.none() | hostile.text),
)
_statics = st.builds(
    cloudinit.Static,
    mac=hostile.text,
    address=hostile.text,
    gateway=hostile.text,
    dns=st.lists(hostile.text, max_size=2).map(tuple),
)


@few
@given(_guests)
def test_no_text_breaks_out_of_user_data(guest: cloudinit.Guest) -> None:
    guests.read_back(guest, cloudinit.user_data(guest))


@few
@given(hostile.text)
def test_no_text_breaks_out_of_the_docker_daemons_config(mirror: str) -> None:
    text = container_role(mirror).files["/etc/docker/daemon.json"]
    assert json.loads(text)["registry-mirrors"] == [mirror]


@few
@given(_statics)
def test_no_text_breaks_out_of_a_network_config(static: cloudinit.Static) -> None:
    guests.network_read_back(static, cloudinit.network_config(static))


def _can_be_an_argument(text: str) -> bool:
    return "\0" not in text and "\ud800" not in text


@few
@given(st.lists(hostile.text.filter(_can_be_an_argument), max_size=4), st.binary(max_size=99))
def test_a_shell_reads_a_program_and_its_arguments_as_they_are(
    words: list[str], program: bytes
) -> None:
    command = archive_command(program, *words)
    packed = [base64.b64encode(program).decode(), hashlib.sha256(program).hexdigest()]
    assert shlex.split(command)[:2] == ["python3", "-c"]
    assert shlex.split(command)[3:] == [*packed, *words]
    shell = ("sh", "-c", f"python3() {{ shift 2; printf '%s\\0' \"$@\"; }}\n{command}")
    words_read = subprocess.run(shell, check=True, capture_output=True).stdout
    assert words_read.decode().split("\0")[:-1] == [*packed, *words]
