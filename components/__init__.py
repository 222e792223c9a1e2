"""The parts of the Pulumi program: vm, host, service and edge; config and placement are shared."""
