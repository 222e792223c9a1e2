"""The error of the firewall's commands."""


class FirewallError(Exception):
    """Nothing was changed; the text says why."""
