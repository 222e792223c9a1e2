"""Which outputs of resources the program reads, so that the SDK is spared all others.

It makes an output, which is a task, of every property that a resource's type has, whether it was
given or not: 78 of a container, of which the program gives 11 and reads none. That was most of the
time and memory of a run; docs/benchmarks.md has the figures.
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
"""By type, in Python's spelling, beside ``id`` and ``urn``; of others it reads none."""

_get = pulumi.get


class UnreadError(Exception):
    """The program reads a property that was left out; the text says where to list it."""


def limit() -> None:
    """Have resources come without the properties that the program does not read.

    To read one of them fails, where the SDK would return None. All packages' classes read their
    properties with ``pulumi.get``; nothing else in the SDK can tell who reads what.
    """
    pulumi.runtime.register_stack_transformation(only_read)
    pulumi.get = _kept  # type: ignore[assignment]  # mypy allows no other function


def only_read(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Leave out properties that are neither given nor read; the engine never hears of those."""
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
