"""The line that matters, in what apt 2.6, cloud-init 22.4, Linux and GRUB really say."""

import json

import pytest

from controller import firstboot

ARCHIVE = "https://deb.debian.org/debian"
TRUST = "Certificate verification failed: The certificate is NOT trusted."

NO_NAME_SERVER = f"""\
Ign:1 {ARCHIVE} bookworm InRelease
Err:1 {ARCHIVE} bookworm InRelease
  Temporary failure resolving 'deb.debian.org'
Reading package lists...
W: Failed to fetch {ARCHIVE}/dists/bookworm/InRelease  Temporary failure resolving 'deb.debian.org'
W: Some index files failed to download. They have been ignored, or old ones used instead.
Reading package lists...
Building dependency tree...
E: Unable to locate package docker.io
"""
NO_ROUTE = f"""\
Err:2 {ARCHIVE} bookworm Release
  Cannot initiate the connection to deb.debian.org:443 (198.18.0.2). - connect (101: Network is \
unreachable)
E: The repository '{ARCHIVE} bookworm Release' does not have a Release file.
E: Package 'docker.io' has no installation candidate
"""
REFUSED = f"""\
Err:1 {ARCHIVE} bookworm InRelease
  Could not connect to deb.debian.org:443 (198.18.0.2). - connect (111: Connection refused)
"""
UNKNOWN_AUTHORITY = f"""\
Err:1 {ARCHIVE} bookworm InRelease
  {TRUST} The certificate issuer is unknown.  Could not handshake: Error in the certificate \
verification. [IP: 198.18.0.2 443]
"""
SLOW_CLOCK = f"""\
Err:1 {ARCHIVE} bookworm InRelease
  {TRUST} The certificate chain uses not yet valid certificate.  Could not handshake: Error in the \
certificate verification. [IP: 198.18.0.2 443]
E: Unable to locate package docker.io
"""
FAST_CLOCK = f"""\
  {TRUST} The certificate chain uses expired certificate.  Could not handshake: Error in the \
certificate verification. [IP: 198.18.0.2 443]
"""
OLD_KEYS = f"""\
Err:3 {ARCHIVE} bookworm InRelease
  The following signatures were invalid: EXPKEYSIG 6ED0E7B82643E131 Debian Archive Automatic \
Signing Key (12/bookworm) <ftpmaster@debian.org>
E: The repository '{ARCHIVE} bookworm-updates Release' does not have a Release file.
"""
NOT_YET = f"""\
Get:1 {ARCHIVE} bookworm InRelease [151 kB]
E: Release file for {ARCHIVE}/dists/bookworm/InRelease is not valid yet (invalid for another 899d \
13h 48min 1s). Updates for this repository will not be applied.
"""
EXPIRED = f"""\
E: Release file for {ARCHIVE}/dists/bookworm/InRelease is expired (invalid since 142d 2h 12min \
1s). Updates for this repository will not be applied.
"""
NO_PACKAGE = f"""\
Hit:1 {ARCHIVE} bookworm InRelease
Reading package lists...
E: Unable to locate package no-such-package
Cloud-init v. 22.4.2 finished at Mon, 30 Nov 2026 12:17:22 +0000. Datasource DataSourceNoCloud
"""
FULL_ARCHIVES = """\
Need to get 0 B/68.6 MB of archives.
E: You don't have enough free space in /var/cache/apt/archives/.
"""
FULL_DISK = """\
Unpacking docker.io (20.10.24+dfsg1-1+deb12u1+b6) ...
dpkg: error processing archive /tmp/apt-dpkg-install-x/04-docker.io.deb (--unpack):
 cannot copy extracted data for './usr/sbin/dockerd' to '/usr/sbin/dockerd.dpkg-new': failed to \
write (No space left on device)
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
NO_CLOUD_INIT = """\
[  OK  ] Started serial-getty@ttyS0.service - Serial Getty on ttyS0.
[  OK  ] Reached target multi-user.target - Multi-User System.

Debian GNU/Linux 12 localhost ttyS0

localhost login: """
NO_ROOT = """\
Begin: Running /scripts/local-block ... done.
Gave up waiting for root file system device.  Common problems:
ALERT!  LABEL=root does not exist.  Dropping to a shell!
(initramfs)
"""
PANIC = (
    "[    3.104812] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
)


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        (NO_NAME_SERVER, "Temporary failure resolving 'deb.debian.org'", "reach a mirror"),
        (NO_ROUTE, "Cannot initiate the connection to deb.debian.org:443", "reach a mirror"),
        (REFUSED, "Could not connect to deb.debian.org:443", "reach a mirror"),
        (UNKNOWN_AUTHORITY, TRUST, "reach a mirror"),
        (SLOW_CLOCK, TRUST, "clock is wrong"),
        (FAST_CLOCK, TRUST, "clock is wrong"),
        (OLD_KEYS, "The following signatures were invalid: EXPKEYSIG", "clock is wrong"),
        (NOT_YET, "E: Release file for", "clock is wrong"),
        (EXPIRED, "E: Release file for", "clock is wrong"),
        (NO_PACKAGE, "E: Unable to locate package no-such-package", "farm.packages"),
        ("E: Version '9.9-9' for 'chrony' was not found", "E: Version", "farm.packages"),
        ("E: Release 'nosuite' for 'tree' was not found", "E: Release", "farm.packages"),
        (FULL_ARCHIVES, "E: You don't have enough free space", "larger farm.disk"),
        (FULL_DISK, "cannot copy extracted data", "larger farm.disk"),
        (NO_CLOUD_INIT, "localhost login:", "farm.image needs cloud-init"),
        (NO_ROOT, "Gave up waiting for root", "does not boot"),
        (PANIC, "Kernel panic - not syncing: VFS", "does not boot"),
    ],
    ids=[
        *("no name server", "no route", "refused", "unknown authority", "slow clock"),
        *(
            "fast clock",
            "keys expired",
            "not valid yet",
            "expired",
            "no package",
            "no version",
            "no release",
        ),
        *("full archives", "full disk", "no cloud-init", "no root", "panic"),
    ],
)
def test_the_line_that_matters_and_what_it_means(text: str, line: str, advice: str) -> None:
    found = firstboot.cause(text)
    assert found is not None
    assert found.line.startswith(line)
    assert advice in found.advice
    console = "\n".join(f"[   81.123456] cloud-init[812]: {each}" for each in text.splitlines())
    if "login:" not in text and text != PANIC:
        assert firstboot.cause(console) == found, "on the console each line has a prefix"


def test_a_boot_that_goes_on_has_no_cause() -> None:
    going = (
        "[    2.1] cloud-init[301]: Cloud-init v. 22.4.2 running 'init' at Mon, 30 Nov 2026\n"
        f"[   40.0] cloud-init[812]: Get:1 {ARCHIVE} bookworm InRelease [151 kB]\n"
        "\nweb-0 login: \n"
    )
    assert firstboot.cause(going) is None
    assert firstboot.cause("") is None


@pytest.mark.parametrize(
    ("printed", "errors"),
    [
        ("", []),
        ("{", []),
        ("[]", []),
        ('{"v1": null}', []),
        (json.dumps({"v1": {"datasource": "x", "errors": []}}, indent=1), []),
        (json.dumps({"v1": {"errors": ["packages: x"]}}, indent=1), ["packages: x"]),
    ],
)
def test_cloud_inits_errors_are_known_once_it_has_ended(printed: str, errors: list[str]) -> None:
    assert firstboot.errors(printed) == errors
