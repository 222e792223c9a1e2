"""Both tiers on this machine's loopback, without VMs: the real keeper, HAProxy and Traefik."""
