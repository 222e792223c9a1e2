"""The lab engine: applies the Pulumi program on a machine that has no Pulumi CLI.

A test instrument, not a product. It stands in for the CLI and for the three providers that the
program uses, in their order and with their traps, so that what passes here passes there. It refuses
every resource type, input and option that it does not implement; it never ignores one.

What it deliberately does not do: aliases, import, protect, hooks, transforms, invokes, default
providers of libvirt and Docker, encrypted state (the state file is readable by its owner only).
"""
