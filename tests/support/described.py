"""What Docker says of a container, as far as the agent needs it."""

import json

from remote.vm_agent.container import Container, inspected


def container(**labels: str) -> Container:
    """Return a container with labels, and nothing else of interest."""
    return inspected(
        json.dumps(
            {
                "Id": "a" * 64,
                "State": {"Running": True, "Pid": 1, "Paused": False, "StartedAt": "now"},
                "NetworkSettings": {"Networks": {"n": {"IPAddress": "127.0.0.1"}}},
                "Config": {"Labels": labels},
            }
        ).encode()
    )
