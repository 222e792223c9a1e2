"""Which certificate is chosen for a domain, and what is said of those that cannot be used."""

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import checks, machine
from components.config.loading import parse
from remote.edge_agent.certificates import (
    Choice,
    Files,
    Spec,
    UnusableError,
    choose,
    day,
    fingerprint,
    read,
)
from remote.edge_agent.selfsigned import self_signed
from tests.support.configs import changed
from tests.support.hostile import HOST_KEY
from tests.support.pems import Authority, Key, key_pem

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
DAY = 86400.0
A, B = "a.example.org", "b.example.org"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def spec(*domains: str, **given: Any) -> Spec:
    nothing: dict[str, Any] = {
        "folder": None,
        "certificates": [],
        "self_signed": False,
        "acme": None,
    }
    return Spec.from_json({"domains": domains or (A,), **nothing, **given})


def chosen(*domains: str, now: float | None = None, **given: Any) -> Choice:
    return choose(spec(*domains, **given), now or time.time())


def pair(folder: Path) -> dict[str, str]:
    return {"fullchain": f"{folder}/fullchain.pem", "privkey": f"{folder}/privkey.pem"}


ACME = {"email": "a@example.org", "directory": "https://acme.example/", "ca": None}


def test_a_pair_is_read_whole(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path / "a", A, "*.a.example.org", ends=30)
    certificate = read(Files.below(folder))
    assert certificate.names == (A, "*.a.example.org")
    assert abs(certificate.ends - time.time() - 30 * DAY) < 60
    chain, key = (folder / "fullchain.pem").read_text(), (folder / "privkey.pem").read_text()
    assert certificate.pem == chain + key
    assert certificate.key == key.strip() + "\n"


def test_what_is_written_around_pems_stays_out(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path / "a", A)
    plain = read(Files.below(folder)).pem
    chain = folder / "fullchain.pem"
    chain.write_text("Bag Attributes: é\n\n" + chain.read_text().replace("-----\n", "-----\n", 1))
    assert read(Files.below(folder)).pem == plain, "an empty line would end HAProxy's input"


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_keys_of_both_kinds(authority: Authority, tmp_path: Path, key: str) -> None:
    made: Key = ec.generate_private_key(ec.SECP384R1())
    if key == "rsa":
        made = rsa.generate_private_key(65537, 2048)
    assert read(Files.below(authority.issue(tmp_path / "a", A, key=made))).covers(A)


@pytest.mark.parametrize(
    ("names", "domain", "covers"),
    [
        ([A], A, True),
        ([A], B, False),
        (["*.example.org"], A, True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "x.a.example.org", False),
        (["*.example.org"], "*.example.org", True),
        ([A], "*.example.org", False),
        (["*.org"], "*.example.org", False),
        (["A.Example.org"], A, True),
    ],
)
def test_what_a_certificate_covers(
    authority: Authority, tmp_path: Path, names: list[str], domain: str, covers: bool
) -> None:
    assert read(Files.below(authority.issue(tmp_path / "a", *names))).covers(domain) == covers


def test_the_one_that_is_valid_longest_is_chosen(authority: Authority, tmp_path: Path) -> None:
    for name, ends in (("old", -1), ("short", 10), ("long", 80), ("longer-for-b", 85)):
        names = [B] if name.endswith("b") else [A, B]
        authority.issue(tmp_path / name, *names, begins=-20, ends=ends)
    authority.issue(tmp_path / "future", A, begins=5, ends=200)
    choice = chosen(A, B, folder=str(tmp_path))
    assert choice.problems == ()
    assert {domain: each.source.parent.name for domain, each in choice.found.items()} == {
        A: "long",
        B: "longer-for-b",
    }


def test_a_folder_as_certbot_leaves_it(authority: Authority, tmp_path: Path) -> None:
    live, archive = tmp_path / "live", tmp_path / "archive" / A
    authority.issue(archive, A)
    (live / A).mkdir(parents=True)
    (live / "README").write_text("This directory contains your keys and certificates.")
    (live / "empty").mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (live / A / name).symlink_to(archive / name)
    choice = chosen(A, folder=str(live))
    assert (set(choice.found), choice.problems) == ({A}, ())


def test_wrong_ones_that_nobody_needs_do_no_harm(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "good", A)
    authority.issue(tmp_path / "expired", A, begins=-90, ends=-1)
    authority.issue(tmp_path / "other", B)
    (tmp_path / "other" / "privkey.pem").write_text("nothing")
    choice = chosen(A, folder=str(tmp_path))
    assert (set(choice.found), choice.problems) == ({A}, ())


def test_an_empty_passphrase_is_one_too(authority: Authority, tmp_path: Path) -> None:
    files = Files.below(authority.issue(tmp_path / "a", A))
    locking = ("openssl", "pkey", "-aes256", "-passout", "pass:", "-in", str(files.privkey))
    files.privkey.write_bytes(subprocess.run(locking, check=True, capture_output=True).stdout)
    with pytest.raises(UnusableError, match="without a passphrase"):
        read(files)


def damaged(folder: Path, damage: Callable[[bytes], bytes]) -> Files:
    """Change the DER of a certificate; its key stays."""
    files = Files.below(folder)
    first, end, _ = files.fullchain.read_text().partition("-----END CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(first + end)
    files.fullchain.write_text(ssl.DER_cert_to_PEM_cert(damage(der)))
    return files


@pytest.mark.parametrize(
    "damage",
    [
        lambda der: der.replace(b"a.example.org", b"\xff.example.org"),
        lambda der: re.sub(rb"(\x17\x0d\d\d)\d\d", rb"\g<1>99", der),
        lambda der: re.sub(rb"\x17\x0d\d{12}Z", b"\x17\x0d" + b"300101000000Z", der),
    ],
    ids=["name", "month", "ends as it begins"],
)
def test_one_that_openssl_reads_only_in_part_does_no_harm(
    authority: Authority, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    right = authority.issue(tmp_path / "live/right", B)
    damaged(authority.issue(tmp_path / "live/odd", A), damage)
    with contextlib.suppress(UnusableError):
        read(Files.below(tmp_path / "live/odd")).left(time.time())
    choice = chosen(B, folder=str(tmp_path / "live"))
    assert choice.found[B].source == right / "fullchain.pem"
    assert not choice.problems


@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=60)
def test_no_certificate_is_worse_than_unusable(
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, int]],
) -> None:
    folder = authority.issue(tmp_path_factory.mktemp("odd") / A, A)

    def damage(der: bytes) -> bytes:
        changed = bytearray(der)
        for place, byte in changes:
            changed[int(place * len(der))] = byte
        return bytes(changed)

    with contextlib.suppress(UnusableError):
        made = read(damaged(folder, damage))
        assert made.problem(time.time()) is not None or 0 <= made.left(time.time()) <= 1
        fingerprint(made.pem)


def test_a_domain_without_a_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "a", A)
    authority.issue(tmp_path / "b", B, begins=-90, ends=-1)
    choice = chosen(A, B, folder=str(tmp_path))
    assert choice.problems == (
        f"edge.tls.folder: has no valid certificate for {B}: {tmp_path}/b/fullchain.pem expired on"
        f" {day(time.time() - DAY)}; get one there, or set edge.tls.acme or"
        f" edge.tls.self_signed: true (got {tmp_path})",
    )


def test_a_key_of_another_certificate_is_told(authority: Authority, tmp_path: Path) -> None:
    folder = authority.issue(tmp_path / "a", A)
    (folder / "privkey.pem").write_text(key_pem(ec.generate_private_key(ec.SECP256R1())))
    why = f"is not the key of {folder}/fullchain.pem"
    assert chosen(folder=str(tmp_path), self_signed=True).problems == (
        f"edge.tls.folder: {folder}/privkey.pem {why}, and no other certificate is for {A}; put the"
        f" right pair there (got {tmp_path})",
    ), "and the self-signed one does not hide it"
    assert chosen(certificates=[pair(folder)]).problems == (
        f"edge.tls.certificates.0.privkey: {why}; give a certificate with its chain, and its key"
        f" (got {folder}/privkey.pem)",
    )


def test_the_certificates_of_a_list_have_to_be_right(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "0", A, begins=-90, ends=-2)
    authority.issue(tmp_path / "1", A, begins=3)
    authority.issue(tmp_path / "2", B, "c.example.org")
    authority.issue(tmp_path / "4", A)
    (tmp_path / "4" / "fullchain.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    authority.issue(tmp_path / "5", A)
    key = key_pem(ec.generate_private_key(ec.SECP256R1()), "secret")
    (tmp_path / "5" / "privkey.pem").write_text(key)
    certificates = [pair(tmp_path / str(number)) for number in range(6)]
    pairs = "give a certificate with its chain, and its key"
    assert chosen(certificates=certificates).problems == (
        f"edge.tls.certificates.0.fullchain: expired on {day(time.time() - 2 * DAY)}; renew it, or"
        f" look at the host's clock (got {tmp_path}/0/fullchain.pem)",
        f"edge.tls.certificates.1.fullchain: is not valid before {day(time.time() + 3 * DAY)};"
        f" renew it, or look at the host's clock (got {tmp_path}/1/fullchain.pem)",
        f"edge.tls.certificates.2.fullchain: is for {B}, c.example.org, and for no service's"
        f" domain; give the right one, or remove it (got {tmp_path}/2/fullchain.pem)",
        f"edge.tls.certificates.3.fullchain: does not exist; {pairs}"
        f" (got {tmp_path}/3/fullchain.pem)",
        f"edge.tls.certificates.4.fullchain: has no CERTIFICATE in it; {pairs}"
        f" (got {tmp_path}/4/fullchain.pem)",
        "edge.tls.certificates.5.privkey: is not a private key that can be read without a"
        " passphrase;"
        f" {pairs} (got {tmp_path}/5/privkey.pem)",
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert chosen(folder=f"{tmp_path}/live").problems == (
        "edge.tls.folder: does not exist; give a folder whose subfolders have fullchain.pem and"
        f" privkey.pem (got {tmp_path}/live)",
    )


def test_an_authority_that_is_not_there(tmp_path: Path) -> None:
    acme = {**ACME, "ca": f"{tmp_path}/ca.pem"}
    assert chosen(acme=acme).problems == (
        "edge.tls.acme.ca: cannot be read; give the PEM file of the authority behind"
        f" https://acme.example/ (got {tmp_path}/ca.pem)",
    )


@pytest.mark.parametrize("odd", ["pipe", "/dev/null", "folder"])
@pytest.mark.parametrize("part", ["fullchain", "privkey"])
def test_what_is_no_file_is_not_read(
    authority: Authority, tmp_path: Path, part: str, odd: str
) -> None:
    folder = authority.issue(tmp_path / "a", A)
    file = folder / f"{part}.pem"
    file.unlink()
    if odd == "pipe":
        os.mkfifo(file)
    elif odd == "folder":
        file.mkdir()
    else:
        file.symlink_to(odd)
    with pytest.raises(UnusableError, match="is not a file"):
        read(Files.below(folder))


def test_domains_without_one_are_the_edges_own(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "a", A)
    assert chosen(A, B, folder=str(tmp_path), self_signed=True).own == (B,)
    assert chosen(A, B, folder=str(tmp_path), acme=ACME).own == (B,)
    wild = chosen("*.example.org", folder=str(tmp_path), acme=ACME)
    assert wild.own == ()
    assert wild.problems == (
        "edge.tls.folder: has no valid certificate for *.example.org; ACME over HTTP cannot prove a"
        " wildcard, so get a certificate for it otherwise, or set edge.tls.self_signed: true"
        f" (got {tmp_path})",
    )


def test_the_edge_signs_what_is_kept_until_it_nears_its_end(tmp_path: Path) -> None:
    now = time.time()
    first = self_signed(tmp_path / "w", "*.example.org", now)
    assert first.names == ("*.example.org",)
    assert abs(first.ends - now - 365 * DAY) < 60
    assert self_signed(tmp_path / "w", "*.example.org", now + 300 * DAY) == first
    later = self_signed(tmp_path / "w", "*.example.org", now + 340 * DAY)
    assert later.pem != first.pem
    assert later.key == first.key
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_local_edges_certificates_are_judged_before_anything_is_made(tmp_path: Path) -> None:
    raw = changed("edge", {"tls": {"folder": str(tmp_path)}})
    problems = machine.facts(parse(raw)).certificate_problems
    assert problems[0].startswith("edge.tls.folder: has no valid certificate for a.example.org;")
    facts = machine.MachineFacts(certificate_problems=problems)
    assert tuple(checks.on_this_machine(parse(raw), facts)) == problems
    raw["edge"] |= {
        "host": "192.0.2.7",
        "host_key": HOST_KEY,
    }
    assert machine.facts(parse(raw)).certificate_problems == (), "its files are not these"
