"""Digests of what a VM is made of: another digest needs another VM."""

import hashlib
import json


def digest(*parts: object) -> str:
    """Return 16 hex digits for anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
