"""Which outputs of resources the program reads, so that the SDK is spared all others.

It makes an output, which is a task, of every property that a resource's type has, whether it was
given or not: 78 of a container, of which the program gives 11 and reads none. That was most of the
time and memory of a run; docs/benchmarks.md has the figures.
"""

import pulumi

READ = {
    "command:local:Command": frozenset({"stdout"}),
    "docker:index/network:Network": frozenset({"name"}),
    "docker:index/remoteImage:RemoteImage": frozenset({"image_id"}),
    "docker:index/volume:Volume": frozenset({"name"}),
    "libvirt:index/pool:Pool": frozenset({"name"}),
    "libvirt:index/volume:Volume": frozenset({"name"}),
}
"""By type, in Python's spelling, beside ``id`` and ``urn``; of others it reads none. What is not
listed is None when it is read."""


def only_read(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Leave out properties that are neither given nor read; the engine never hears of those."""
    read = READ.get(args.type_, frozenset())
    props = {key: each for key, each in args.props.items() if each is not None or key in read}
    return pulumi.ResourceTransformationResult(props, args.opts)
