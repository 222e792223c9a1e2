"""The certificate authority of the lab's Internet, and the certificate of the servers there.

It is made once per machine and cached. The lab's stock images trust it, and nothing else does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.images.cache import cached, digest, recipe_files

CERTIFICATE, SERVER, SERVER_KEY = "ca.pem", "server.pem", "server.key"
DAYS = 3650


class AuthorityError(Exception):
    """openssl failed; the text has its message."""


def folder(names: tuple[str, ...]) -> Path:
    """The folder with the authority's `ca.pem`, and `server.pem` and `server.key` for `names`."""
    key = digest([*recipe_files(Path(__file__)), ("names", repr(names).encode())])
    return cached("authority", key, lambda made: build(made, names))


def build(made: Path, names: tuple[str, ...]) -> None:
    """Make the authority and the servers' certificate in the folder `made`."""
    made.chmod(0o700)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    authority, authority_key = str(made / CERTIFICATE), str(made / "ca.key")
    _openssl(
        *("req", "-x509", *new_key, "-days", str(DAYS), "-subj", "/CN=Internet of a Gatehouse lab"),
        *("-addext", "keyUsage=critical,keyCertSign"),
        *("-keyout", authority_key, "-out", authority),
    )
    request, extensions = made / "server.csr", made / "server.ext"
    _openssl(
        *("req", "-new", *new_key, "-subj", f"/CN={names[0]}"),
        *("-keyout", str(made / SERVER_KEY), "-out", str(request)),
    )
    extensions.write_text(f"subjectAltName={','.join(f'DNS:{name}' for name in names)}\n")
    _openssl(
        *("x509", "-req", "-in", str(request), "-days", str(DAYS), "-extfile", str(extensions)),
        *("-CA", authority, "-CAkey", authority_key, "-CAcreateserial"),
        *("-out", str(made / SERVER)),
    )


def _openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AuthorityError(f"openssl {arguments[0]}: {done.stderr.strip()}")
