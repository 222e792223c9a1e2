#!/bin/sh
# Runs on the builder after every package is in, and after `stock`: $1 is the new system's root.
set -eu

# The edge has a unit of its own, and its keeper renews certificates.
chroot "$1" systemctl disable haproxy.service certbot.timer
