"""Records which volumes a container got, apart from the container and the volumes themselves."""

from collections.abc import Iterable

import pulumi

from components.data.inventory import Held


class Mounted(pulumi.ComponentResource):
    """The volumes of a container, recorded once the container exists.

    `pulumi refresh` and `pulumi state delete` take containers and volumes out of the state, but the
    files may still be on the VM. A component stays until the config has no such container.
    """

    def __init__(
        self,
        name: str,
        helds: Iterable[Held],
        opts: pulumi.ResourceOptions,
        *,
        container: pulumi.Output[str],
        disk: pulumi.Output[str],
    ) -> None:
        """Register the record.

        Args:
            name: The container's slot.
            helds: Its volumes.
            opts: With the VM as the parent.
            container: Its id.
            disk: The name of the VM's disk.
        """
        super().__init__("gatehouse:data:Mounted", name, None, opts)
        volumes = [[held.vm, *held.key] for held in helds]
        made = pulumi.Output.all(container, disk)
        self.register_outputs(
            {"disk": disk, "volumes": made.apply(lambda _: volumes)},
        )
