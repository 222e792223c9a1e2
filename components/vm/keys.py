"""SSH keys that the program generates; the state has them as secrets.

Each run also writes them to files, see ``controller.key_files``.
"""

from pathlib import Path

import pulumi
from pulumi_command import local

from controller.key_files import write_private

_TYPE = "gatehouse:vm:KeyPair"

# Both halves go to stdout, because that output of a command can be marked secret.
_GENERATE = (
    "folder=$(mktemp -d) && trap 'rm -rf \"$folder\"' EXIT"
    ' && ssh-keygen -q -t ed25519 -N "" -C "$COMMENT" -f "$folder/key"'
    ' && cat "$folder/key" "$folder/key.pub"'
)


class KeyPair(pulumi.ComponentResource):
    """An ed25519 key pair, made once and kept in the state."""

    private_key: pulumi.Output[str]
    """The private key in OpenSSH's format; a secret."""
    public_key: pulumi.Output[str]
    """The public key: its type, its base64, and a comment."""

    def __init__(
        self,
        name: str,
        comment: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """Make the pair, or take it from the state.

        Args:
            name: The resource's name.
            comment: The key's comment.
            opts: The resource's options.
            keep: Whether the engine has to refuse to make another pair, which would open no VM.
        """
        super().__init__(_TYPE, name, None, opts)
        generated = local.Command(
            f"{name}-keygen",
            local.CommandArgs(
                create=_GENERATE,
                environment={"COMMENT": comment},
                logging=local.Logging.NONE,  # the default prints stdout, and with it the key
            ),
            pulumi.ResourceOptions(
                parent=self,
                protect=keep or None,
                additional_secret_outputs=["stdout"],
                # A change of the script's text must never replace the key.
                ignore_changes=["create", "environment"],
            ),
        )
        halves = generated.stdout.apply(split_key_pair)
        self.private_key = pulumi.Output.secret(halves.apply(lambda pair: pair[0]))
        self.public_key = pulumi.Output.unsecret(halves.apply(lambda pair: pair[1]))
        self.register_outputs({"public_key": self.public_key})


def split_key_pair(text: str) -> tuple[str, str]:
    """Split what ``_GENERATE`` prints into the private and the public key.

    Raises:
        ValueError: It is not a private key followed by a public one.
    """
    private, separator, public = text.partition("-----END OPENSSH PRIVATE KEY-----\n")
    if not separator or not public.startswith("ssh-ed25519 "):
        raise ValueError("ssh-keygen did not print a private key followed by its public key")
    return private + separator, public.strip()


def written(path: Path, content: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return ``path`` once ``content`` is in it, readable by this user only.

    Deliberately not a resource: every machine that runs the program needs the file, even if the
    state says that another machine has made it.
    """
    return pulumi.Output.unsecret(
        pulumi.Output.from_input(content).apply(lambda text: write_private(path, text.encode()))
    )
