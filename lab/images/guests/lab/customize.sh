#!/bin/sh
# Runs on the builder after every package is in: $1 is the new system's root.
set -eu
root=$1

in_root() { chroot "$root" "$@"; }

in_root systemctl enable systemd-networkd.service systemd-resolved.service
# An edge has a unit of its own, and its keeper renews certificates.
in_root systemctl disable haproxy.service certbot.timer
# Nothing here is wrong on a real server; a lab VM lives for minutes, on an emulated CPU.
# apparmor.service: Docker loads its own profile, and nothing else here has one that matters.
# cloud-config.service: its modules run in cloud-final.service, see 90-gatehouse.cfg.
in_root systemctl mask \
    apparmor.service cloud-config.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount systemd-pstore.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service getty@tty1.service e2scrub_reap.service \
    modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@loop.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer

mkdir -p "$root/etc/systemd/system-generators"
# Generators run one after the other before anything else; these find nothing in a lab VM.
for name in cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local run system-update sysv \
    veritysetup; do
    ln -s /dev/null "$root/etc/systemd/system-generators/systemd-$name-generator"
done

# cloud-init reads its configuration, in pure Python, five times a stage: only what is used is left.
mv "$root/etc/cloud/cloud.cfg.d/90-gatehouse.cfg" "$root/etc/cloud/cloud.cfg"
rm -f "$root"/etc/cloud/cloud.cfg.d/*
# It only checks user data with this, and does without; loading it takes most of a second in each stage.
rm -r "$root/usr/lib/python3/dist-packages/jsonschema"

# No VM of the lab has passwords; said here, cloud-init need not say it and restart sshd.
sed -i 's/^#\?PasswordAuthentication .*/PasswordAuthentication no/' "$root/etc/ssh/sshd_config"

# Every VM makes its own identity at its first boot.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
echo debian > "$root/etc/hostname"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
printf '/dev/vda1 / ext4 defaults,noatime,errors=remount-ro 0 0\n' > "$root/etc/fstab"
echo LANG=C.UTF-8 > "$root/etc/default/locale"

# The builder's own way to its mirror is of no use in a VM.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/apt "$root"/var/log/dpkg.log
