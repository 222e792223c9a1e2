"""VMs: shared network, storage and base image; a disk, cloud-init and a domain for each."""
