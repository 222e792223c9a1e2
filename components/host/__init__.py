"""Container hosts: Docker over SSH, a network, and Traefik on each VM."""
