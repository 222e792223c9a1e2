"""A stored grant, with the mark of the command that has put it into force."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from remote.vm_firewall.errors import FirewallError
from remote.vm_firewall.grant import Grant


@dataclass(frozen=True, kw_only=True)
class KeptGrant:
    """A grant that is in force."""

    grant: Grant
    mark: str = ""
    """The mark of the last ``allow`` for it; empty if an older version stored none."""
    leftover: bool = False
    """Whether its command was undone, and the grant stays only because no other one allows SSH."""

    def to_json(self) -> str:
        """Return it as one line."""
        own = {"mark": self.mark, "leftover": self.leftover}
        return json.dumps({**asdict(self.grant), **own}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "KeptGrant":
        """Read the text that this or an older version has stored.

        Raises:
            ValueError, TypeError, LookupError: It is not a grant.
        """
        document = json.loads(text)
        grant = Grant.of(document)
        # An older version did not say so. No command grants SSH alone.
        only_ssh = not grant.edges and not grant.public
        return cls(
            grant=grant,
            mark=str(document.get("mark", "")),
            leftover=bool(document.get("leftover", only_ssh)),
        )


def read(file: Path) -> KeptGrant:
    """Return a grant that was put into force before.

    Raises:
        FirewallError: The file is damaged.
    """
    try:
        return KeptGrant.from_json(file.read_text())
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise FirewallError(
            f"{file}: is not a grant, so nothing was changed; delete it, and run"
            f" `pulumi up --replace '**::{file.stem}'` to have it written again (got {error!r})"
        ) from None
