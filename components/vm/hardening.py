"""Hardening of every VM at its first boot, as files and commands for cloud-init."""

from collections.abc import Mapping, Sequence

from controller.ssh import SSH_USER

PACKAGES = ("chrony", "nftables", "unattended-upgrades")
"""Installed unless the image has them: the clock, the firewall's tool, and security updates."""

# The Docker provider opens a connection per request and several at once; OpenSSH's default of
# 10:30:100 starts to drop them at 10 that are not authenticated yet.
# The first word on a matter counts. cloud-init would say the one about passwords too late, and
# restart sshd for it under the first commands.
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

# Of what was on that disk, kept by cloud-init for boots to come.
_COPIES = (
    *(f"/var/lib/cloud/instances/*/{each}" for each in ("user-data.txt*", "cloud-config.txt")),
    "/var/lib/cloud/instances/*/obj.pkl",
    "/run/cloud-init/instance-data-sensitive.json",
)

COMMANDS: Sequence[Sequence[str]] = (
    ("systemctl", "restart", "systemd-journald.service"),
    # The disk that all this came from has the host's private key. Without it cloud-init would take
    # the next boot for that of a new machine, and has nothing to do at one of an old machine.
    ("touch", "/etc/cloud/cloud-init.disabled"),
    ("shred", "--iterations=0", "--zero", "/dev/disk/by-label/cidata"),
    ("sh", "-c", f"rm -f {' '.join(_COPIES)}"),
)
"""Commands at the end of the first boot."""
