"""Both tiers on this machine's loopback, without VMs: the real edge agent, HAProxy and Traefik."""
