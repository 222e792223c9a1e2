#!/bin/sh
# Runs on the builder after every package is in: $1 is the new system's root. What is done here is
# what Debian's cloud team does to its images, and no more.
set -eu
root=$1

in_root() { chroot "$root" "$@"; }

suite=$(. "$root/etc/os-release" && echo "$VERSION_CODENAME")
sources=$root/etc/apt/sources.list.d/debian.sources
# Before the packages it would have sent mmdebstrap itself to the Internet.
mv "$root/etc/gatehouse-debian.sources" "$sources"
sed -i "s/@SUITE@/$suite/g" "$sources"
echo '# See /etc/apt/sources.list.d/debian.sources' > "$root/etc/apt/sources.list"
rm -f "$root"/etc/apt/sources.list.d/0000* "$root/etc/apt/apt.conf.d/99mmdebstrap"

in_root systemctl enable systemd-networkd.service systemd-resolved.service
ln -sf /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
sed -i -e 's/^#PasswordAuthentication yes/PasswordAuthentication no/' "$root/etc/ssh/sshd_config"
echo 'ClientAliveInterval 120' >> "$root/etc/ssh/sshd_config"
printf 'LABEL=root / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\n' > "$root/etc/fstab"
echo LANG=C.UTF-8 > "$root/etc/default/locale"
[ ! -d "$root/usr/local/share/ca-certificates" ] || in_root update-ca-certificates > /dev/null

# Every VM makes its own identity at its first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/mailname"
: > "$root/etc/machine-id"
: > "$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/apt \
    "$root"/var/log/alternatives.log "$root"/var/log/bootstrap.log "$root"/var/log/dpkg.log
