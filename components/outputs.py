"""The outputs of resources that the program reads; the SDK creates no others.

By default, the SDK creates an output, which is a task, for every property of a resource's type:
78 for a container, of which the program sets 11 and reads none. They took most of the time and
memory of a run; docs/benchmarks.md has the figures.
"""

from typing import Any

import pulumi

READ = {
    "command:local:Command": frozenset({"stdout"}),
    "docker:index/network:Network": frozenset({"name"}),
    "docker:index/remoteImage:RemoteImage": frozenset({"image_id"}),
    "docker:index/volume:Volume": frozenset({"name"}),
    "libvirt:index/pool:Pool": frozenset({"name"}),
    "libvirt:index/volume:Volume": frozenset({"name"}),
}
"""By type, in Python's spelling, in addition to ``id`` and ``urn``; none of other types."""

_get = pulumi.get


class UnreadError(Exception):
    """The program reads a property that was left out; the text says where to list it."""


def limit() -> None:
    """Create resources without the properties that the program does not read.

    Reading one of them fails, where the SDK would return None. All packages' classes read their
    properties with ``pulumi.get``, the only place in the SDK where a read can be noticed.
    """
    pulumi.runtime.register_stack_transformation(only_read)
    pulumi.get = _kept  # type: ignore[assignment]  # mypy allows no other function


def only_read(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Leave out properties that are neither set nor read; the engine never gets those."""
    read = READ.get(args.type_, frozenset())
    props = {key: each for key, each in args.props.items() if each is not None or key in read}
    return pulumi.ResourceTransformationResult(props, args.opts)


def _kept(resource: Any, name: str) -> Any:
    """Return a property of a resource, or of a type of the SDK's.

    Raises:
        UnreadError: The resource came without it.
    """
    if isinstance(resource, pulumi.Resource) and name not in vars(resource):
        kind = resource.pulumi_resource_type
        raise UnreadError(
            f"components.outputs.READ: {kind}: is read without being listed; add {name}"
        )
    return _get(resource, name)
