"""The files that Traefik reads beside Docker's descriptions."""

import base64
import contextlib
import hashlib
import json
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from remote.texts import text_of
from remote.vm_agent import kept
from remote.vm_agent.traefik_api import API_USER, token

NOWHERE = text_of("remote.vm_agent", "nowhere.yml")
"""Lets Traefik answer 503 rather than 404 for a service that has no container left here: the edge
sends only what should be here, and tries a 503 on another VM if that is safe. A TCP connection for
such a service gets no handshake, and is tried on another VM too. One that a side has ended its half
of goes on until the other does, for which Traefik would wait 0.1 s.

It also shows Traefik's metrics to the edge, under a domain that no service can have; Traefik fills
in the address. Only the agent may read Traefik's API, because containers share its
network."""


def certificate(folder: Path) -> str:
    """Return the part of Traefik's file that is a certificate for what the edge sends in TLS.

    Nobody verifies it. But without one, Traefik generates an RSA key after each change of a
    container, which delays the change by up to 0.3 s of processor time, more if emulated.
    """
    pair = folder / "pair.json"
    try:
        known = _pair(json.loads(pair.read_text()))
    except (OSError, ValueError, RecursionError):  # it is not there, or not whole
        command = (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "36500", "-subj", "/CN=gatehouse", "-keyout", "/dev/stdout"),
        )
        try:
            told = subprocess.run(
                command, check=True, capture_output=True, text=True, errors="replace"
            ).stdout
            parts = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n", told, re.DOTALL)
            keys = [each for each in parts if "PRIVATE KEY" in each]
            others = [each for each in parts if each not in keys]
            known = _pair({"certFile": "".join(others[:1]), "keyFile": "".join(keys[:1])})
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"Traefik makes its own certificates: {error}", flush=True)
            return ""
        kept.write(pair, json.dumps(known), mode=0o600)
        for older in ("key.pem", "certificate.pem"):
            with contextlib.suppress(OSError):
                (folder / older).unlink()
    return f"tls: {{stores: {{default: {{defaultCertificate: {json.dumps(known)} }} }} }}\n"


def _pair(document: Any) -> dict[str, str]:
    """Return a certificate and its key; with invalid ones, Traefik ignores its whole file.

    Raises:
        ValueError: They are missing.
    """
    keys = ("certFile", "keyFile")
    found = document if isinstance(document, dict) else {}
    pems = {key: found.get(key) for key in keys}
    if all(isinstance(pem, str) and pem.startswith("-----BEGIN ") for pem in pems.values()):
        return {key: str(pem) for key, pem in pems.items()}
    raise ValueError("there is no certificate with its key")


def write_files(folder: Path) -> None:
    """Write Traefik's files, each atomically, because a running Traefik reads them.

    They are world-readable, because Traefik's UID has no account on the VM. Only the agent may
    enter ``folder`` itself, and Traefik's container has no other path to it.

    Raises:
        OSError: One of them could not be written.
    """
    failed = []
    for name, text_in in (("users", _users), ("nowhere.yml", _rules)):
        try:
            text, file = text_in(folder), folder / "traefik" / name
            if not file.is_file() or file.read_bytes() != text.encode():
                kept.write(file, text, mode=0o644)
        except OSError as error:  # the other one may be possible
            failed.append(error)
    if failed:
        raise failed[0]


def _users(folder: Path) -> str:
    # What Traefik reads and the standard library writes; it is of 256 random bits.
    sha1 = hashlib.sha1(token(folder).encode(), usedforsecurity=False)
    return f"{API_USER}:{{SHA}}{base64.b64encode(sha1.digest()).decode()}\n"


def _rules(folder: Path) -> str:
    return NOWHERE + certificate(folder)


def write_soon(folder: Path) -> None:
    """Write Traefik's files, in a thread as soon as that is possible if it is not now."""
    if not _written(folder):
        threading.Thread(target=_write_late, args=(folder,), daemon=True).start()


def _write_late(folder: Path) -> None:
    while not _written(folder):
        time.sleep(kept.SAVE_SECONDS)


def _written(folder: Path) -> bool:
    """Write Traefik's files, and return whether that succeeded; if not, the old ones stay."""
    try:
        write_files(folder)
    except OSError as error:
        print(f"Traefik keeps its old files, tried again: {error}", flush=True)
        return False
    return True
