"""The secrets of a state, encrypted with a key in a file beside it.

As Pulumi's passphrase provider has it: whoever has the state alone (a copy, a backup, a bug report)
has none of its secrets; whoever has the whole folder has them all, so the folder is for its owner
only. The key is made when the first secret is kept, and never changed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from lab.engine.errors import EngineError
from lab.engine.values import is_secret

_CIPHERTEXT = "ciphertext"


class Vault:
    """Turns the secrets in a state's JSON into ciphertexts and back."""

    def __init__(self, key: Path) -> None:
        self._path = key
        self._cipher: Fernet | None = None

    def sealed(self, data: Any) -> Any:
        """Return a copy of the data with a ciphertext in the place of each secret's value."""
        if isinstance(data, list):
            return [self.sealed(item) for item in data]
        if not isinstance(data, dict):
            return data
        if is_secret(data):
            mark = {key: item for key, item in data.items() if key != "value"}
            text = json.dumps(data["value"]).encode()
            return {**mark, _CIPHERTEXT: self._cipher_to_write().encrypt(text).decode()}
        return {key: self.sealed(item) for key, item in data.items()}

    def opened(self, data: Any) -> Any:
        """Return a copy of the data with each secret's value in the place of its ciphertext.

        Raises:
            EngineError: The key is not the one that they were encrypted with, or is not there.
            ValueError: A secret is in plain text.
        """
        if isinstance(data, list):
            return [self.opened(item) for item in data]
        if not isinstance(data, dict):
            return data
        if is_secret(data):
            if _CIPHERTEXT not in data:
                raise ValueError("a secret is in plain text")
            mark = {key: item for key, item in data.items() if key != _CIPHERTEXT}
            return {**mark, "value": json.loads(self._decrypted(data[_CIPHERTEXT]))}
        return {key: self.opened(item) for key, item in data.items()}

    def _decrypted(self, ciphertext: str) -> bytes:
        try:
            self._cipher = self._cipher or Fernet(self._path.read_bytes())
            return self._cipher.decrypt(ciphertext)
        except FileNotFoundError as error:
            raise EngineError(
                f"{self._path}: the key that the state's secrets are encrypted with is missing: "
                "put it back, or remove the lab with `make down`"
            ) from error
        except (InvalidToken, ValueError) as error:
            raise EngineError(
                f"{self._path}: this is not the key that the state's secrets are encrypted with: "
                "put that one back, or remove the lab with `make down`"
            ) from error

    def _cipher_to_write(self) -> Fernet:
        if self._cipher is None:
            if not self._path.exists():
                self._make_key()
            self._cipher = Fernet(self._path.read_bytes())
        return self._cipher

    def _make_key(self) -> None:
        # Whole or not at all: half a key would lose what is encrypted with the other half.
        partial = self._path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
