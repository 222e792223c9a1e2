"""How another machine is reached: verified from the first connection on."""

SSH_USER = "gatehouse"
_PATIENCE = ("ConnectTimeout=10", "ServerAliveInterval=15")


def verified(*, known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the options of ``ssh`` for a machine called ``host``, beside the user's config."""
    return _options("BatchMode=yes", *_pinned(known_hosts, host), *_PATIENCE)


def options(*, key_file: str, known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the options of ``ssh`` for the VM called ``host``, whatever the user's own config.

    Connections that follow each other within 30 s share one handshake, which takes an emulated CPU
    about a second.
    """
    settings = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        *_pinned(known_hosts, host),
        "HostKeyAlgorithms=ssh-ed25519",
        *_PATIENCE,
        "ControlMaster=auto",
        f"ControlPath={known_hosts}.%h",
        "ControlPersist=30s",
    )
    return ("-F", "none", "-i", key_file, *_options(*settings))


def known_hosts_line(host: str, public_key: str) -> str:
    """Return the line of a known_hosts file that pins ``public_key`` for ``host``."""
    algorithm, key = public_key.split()[:2]
    return f"{host} {algorithm} {key}\n"


def _pinned(known_hosts: str, host: str) -> tuple[str, ...]:
    """Have the host's key looked up by its name rather than by its address.

    An address can come back with another machine behind it.
    """
    return (
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        f"HostKeyAlias={host}",
    )


def _options(*settings: str) -> tuple[str, ...]:
    return tuple(part for each in settings for part in ("-o", each))
