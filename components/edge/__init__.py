"""The edge: HAProxy in front of the VMs, its pools computed from their addresses."""
