#!/bin/sh
# The builder's last step, in mount, PID and network namespaces of its own: the new system's Docker
# loads the archives $2… into /var/lib/docker of its root $1, where it finds them in every VM.
set -eu
root=$1
shift
work=$(mktemp -d)

# Docker changes its root while it unpacks, which needs a mount; overlay2 works on any file system
# that the builder's machine may have here only if it is one of its own.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/var/lib/docker"
mount -t tmpfs tmpfs "$root/var/lib/docker"

ask() { chroot "$root" docker --host unix:///run/preload.sock "$@"; }

chroot "$root" dockerd --host unix:///run/preload.sock --storage-driver overlay2 \
    --bridge none --iptables=false --ip-masq=false --ip-forward=false > "$work/log" 2>&1 &
daemon=$!
trap 'tail -n 5 "$work/log"; rm -r "$work"' EXIT
until ask info > /dev/null 2>&1; do
    kill -0 "$daemon"
    sleep 0.2
done
for archive; do
    ask load --quiet < "$archive"
done
kill "$daemon"
wait "$daemon"

# The images and their layers; all else, such as the daemon's own identity, each VM makes.
mkdir "$work/made"
cp --archive "$root/var/lib/docker/image" "$root/var/lib/docker/overlay2" "$work/made"
umount "$root/var/lib/docker"
cp --archive "$work/made/." "$root/var/lib/docker"
rm -rf "$root/etc/docker/key.json" "$root/var/lib/containerd"
umount --recursive "$root"
trap - EXIT
rm -r "$work"
