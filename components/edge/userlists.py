"""HAProxy's userlists, which are secret: the users of services with a password."""

from collections.abc import Mapping

from components.config.models.service import Service


def userlists(services: Mapping[str, Service]) -> str:
    """Return a userlist for each service that has users, by its name; empty if none has any."""
    return "".join(
        f"userlist {name}\n"
        + "".join(
            f"    user {user} password {hashed}\n"
            for user, hashed in service.http.basic_auth.items()
        )
        + "\n"
        for name, service in services.items()
        if service.http.basic_auth
    )
