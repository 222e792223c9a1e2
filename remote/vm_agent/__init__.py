"""The agent on each VM, between Docker and Traefik."""
