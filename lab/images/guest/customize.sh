#!/bin/sh
# Runs on the builder after every package is in: $1 is the new system's root.
set -eu
root=$1

in_root() { chroot "$root" "$@"; }

in_root systemctl enable systemd-networkd.service systemd-resolved.service
# Nothing here is wrong on a real server; a lab VM lives for minutes, on an emulated CPU.
in_root systemctl mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer

# Every VM makes its own identity at its first boot.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
echo debian > "$root/etc/hostname"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
printf '/dev/vda1 / ext4 defaults,noatime,errors=remount-ro 0 1\n' > "$root/etc/fstab"

# The builder's own way to its mirror is of no use in a VM.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/apt "$root"/var/log/dpkg.log
