"""Digests of the values that a VM is made from. A new digest means a new VM."""

import hashlib
import json


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits for any JSON value."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
