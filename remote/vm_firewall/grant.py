"""A grant: the traffic that may reach a VM."""

import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The traffic that may reach a VM, besides answers to its own requests."""

    ssh: tuple[str, ...] = ()
    """Networks from which SSH is allowed."""
    edges: tuple[str, ...] = ()
    """Addresses that may use ``edge_ports``."""
    edge_ports: str = ""
    """One port, or the first and the last one with a hyphen between them."""
    public: tuple[int, ...] = ()
    """TCP ports for everybody."""

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Grant":
        """Read what ``to_json`` made.

        Raises:
            ValueError, TypeError, LookupError: It is not a grant.
        """
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, document: Any) -> "Grant":
        """Return the grant in a document, which may have more keys.

        Raises:
            ValueError, TypeError, LookupError: It is not a grant.
        """
        return cls(
            ssh=tuple(document["ssh"]),
            edges=tuple(document["edges"]),
            edge_ports=document["edge_ports"],
            public=tuple(document["public"]),
        )

    def shuts_out(self, address: str) -> bool:
        """Whether it does not allow SSH from an address."""
        client = ipaddress.ip_address(address)
        return not any(client in ipaddress.ip_network(network) for network in self.ssh)
