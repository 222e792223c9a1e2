"""Set damaged files of certbot aside.

A full disk or a power failure can damage a file. Certbot then fails at each run, with a message
that does not name the file.
"""

import itertools
import json
import os
import shutil
from pathlib import Path

from remote.edge_agent.certificates import Files, UnusableError, read
from remote.edge_agent.system import text_of

_ACCOUNT = ("meta.json", "private_key.json", "regr.json")
_PEMS = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")


def forget_damaged_accounts(config: Path) -> None:
    """Remove accounts that certbot cannot read; it registers another one.

    Args:
        config: Certbot's ``--config-dir``.
    """
    files = [path for name in _ACCOUNT for path in (config / "accounts").rglob(name)]
    for folder in {path.parent for path in files if not _is_json(path)}:
        shutil.rmtree(folder)


def put_accounts_aside(config: Path) -> None:
    """Keep the accounts in another folder, where certbot does not look; it registers another one.

    Args:
        config: Certbot's ``--config-dir``.
    """
    aside = config / "accounts-unknown-to-the-server"
    shutil.rmtree(aside, ignore_errors=True)
    (config / "accounts").rename(aside)


def lineage(config: Path, name: str) -> str:
    """Return the first of ``name``, ``name_1`` and so on that certbot can make or renew.

    Damaged ones stay, because their certificate may still be good.

    Args:
        config: Certbot's ``--config-dir``.
        name: Certbot's name for the certificate and its renewals.
    """
    names = itertools.chain((name,), (f"{name}_{number}" for number in itertools.count(1)))
    return next(each for each in names if not _is_damaged(config, each))


def _is_damaged(config: Path, name: str) -> bool:
    live, renewal = config / "live" / name, config / "renewal" / f"{name}.conf"
    if not any(map(os.path.lexists, (live, renewal, config / "archive" / name))):
        return False
    if not renewal.is_file() or f"/{name}/fullchain.pem" not in text_of(renewal):
        return True
    try:
        read(Files(live / "cert.pem", live / "privkey.pem"))
        read(Files.below(live))
    except UnusableError:
        return True
    return not all((live / each).is_symlink() and (live / each).exists() for each in _PEMS)


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False
