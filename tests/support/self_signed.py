"""A self-signed certificate, like the edge's with `self_signed`."""

import subprocess
from pathlib import Path


def certificate(folder: Path, host: str) -> Path:
    """Return a PEM file with a certificate for a domain, and its key."""
    key, chain, both = folder / "key", folder / "chain", folder / f"{host}.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=self-signed"),
            *("-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=CA:FALSE"),
            *("-keyout", key, "-out", chain),
        ),
        check=True,
        capture_output=True,
    )
    both.write_text(chain.read_text() + key.read_text())
    return both
