"""Programs that run elsewhere, on the VMs and on the edge's host; the standard library only."""
