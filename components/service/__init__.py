"""Services: an image, its containers and the labels by which Traefik finds them."""
