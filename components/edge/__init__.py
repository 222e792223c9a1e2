"""The edge: HAProxy in front of the VMs, its backends computed from their addresses."""
