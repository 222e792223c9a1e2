"""How a VM is reached: verified from the first connection, whatever the user's own ssh config."""

SSH_USER = "gatehouse"


def options(*, key_file: str, known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the options of ``ssh`` for the VM called ``host``.

    The host key is looked up by the VM's name rather than by its address, because an address can
    come back with another VM behind it. Connections that follow each other within 30 s share one
    handshake, which takes an emulated CPU about a second.
    """
    settings = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        f"HostKeyAlias={host}",
        "HostKeyAlgorithms=ssh-ed25519",
        "ConnectTimeout=10",
        "ServerAliveInterval=15",
        "ControlMaster=auto",
        f"ControlPath={known_hosts}.%h",
        "ControlPersist=30s",
    )
    return ("-F", "none", "-i", key_file, *(part for each in settings for part in ("-o", each)))


def known_hosts_line(host: str, public_key: str) -> str:
    """Return the line of a known_hosts file that pins ``public_key`` for ``host``."""
    algorithm, key = public_key.split()[:2]
    return f"{host} {algorithm} {key}\n"
