"""Hardening of every VM at its first boot, as files and commands for cloud-init."""

from collections.abc import Mapping, Sequence

from controller.ssh import SSH_USER

PACKAGES = ("chrony", "nftables", "unattended-upgrades")
"""For the clock, the firewall and security updates; installed unless the image has them."""

# The Docker provider opens a connection per request and several at once; OpenSSH's default of
# 10:30:100 starts to drop them at 10 that are not authenticated yet.
# sshd uses the first value of a setting. cloud-init's own setting for passwords would come too
# late, and restart sshd during the first commands.
_SSHD = f"""\
MaxStartups 100:30:200
MaxSessions 100
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers {SSH_USER}
X11Forwarding no
"""

# Security updates are among unattended-upgrades' defaults; it never reboots by itself.
_UPGRADES = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
"""

_JOURNALD = """\
[Journal]
SystemMaxUse=200M
RuntimeMaxUse=50M
MaxRetentionSec=1month
"""

FILES: Mapping[str, str] = {
    "/etc/ssh/sshd_config.d/00-gatehouse.conf": _SSHD,
    "/etc/apt/apt.conf.d/52gatehouse": _UPGRADES,
    "/etc/systemd/journald.conf.d/50-gatehouse.conf": _JOURNALD,
}
"""Text by path, of every VM."""

# cloud-init's copies of the seed disk's content, for later boots.
_COPIES = (
    *(f"/var/lib/cloud/instances/*/{each}" for each in ("user-data.txt*", "cloud-config.txt")),
    "/var/lib/cloud/instances/*/obj.pkl",
    "/run/cloud-init/instance-data-sensitive.json",
)

COMMANDS: Sequence[Sequence[str]] = (
    ("systemctl", "restart", "systemd-journald.service"),
    # The seed disk has the host's private key, so it is wiped. Without that disk, cloud-init would
    # take the next boot for a new machine's first one, and it has nothing to do at later boots.
    ("touch", "/etc/cloud/cloud-init.disabled"),
    ("shred", "--iterations=0", "--zero", "/dev/disk/by-label/cidata"),
    ("sh", "-c", f"rm -f {' '.join(_COPIES)}"),
)
"""Commands at the end of the first boot."""
