"""VMs: network, storage and base image shared; disk, cloud-init and domain per VM."""
