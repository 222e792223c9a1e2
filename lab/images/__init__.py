"""What the lab's machines run: the Debian disk image and the container images, built and cached."""
