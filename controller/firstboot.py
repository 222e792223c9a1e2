"""Find the cause of a failed first boot in the VM's console and cloud-init's log.

cloud-init continues after most errors. Its summary names none of them, and comes hundreds of lines
after the decisive one. The texts are those of apt 2.6 and 3.0, cloud-init 22.4 and 25.1, Linux 6.1
and 6.12, and GRUB 2.06.
"""

import json
import re
from dataclasses import dataclass

RESULT = "/run/cloud-init/result.json"
"""The file with cloud-init's result, once it has ended."""

LOG = "sudo -n tail -n 2000 /var/log/cloud-init-output.log"
"""A shell command on the VM that prints the log of cloud-init and of the programs that it ran."""


@dataclass(frozen=True)
class Cause:
    """The decisive line, and its meaning."""

    line: str
    advice: str


@dataclass(frozen=True)
class _Sign:
    pattern: re.Pattern[str]
    advice: str


def _sign(pattern: str, advice: str) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), advice)


# The first match in this order counts, wherever it is: after a full disk or a wrong clock,
# everything else fails too, and without a mirror no package is found.
_SIGNS = (
    _sign(
        r"no space left on device|(do not|don't) have enough free space|not enough free disk space",
        "the VM's disk is full: give it a larger farm.disk",
    ),
    _sign(
        r"is not valid yet \(invalid for another|is expired \(invalid since"
        r"|certificate .*(not yet (valid|activated)|has expired)"
        r"|uses (not yet valid|expired) certificate|invalid: EXPKEYSIG",
        "the VM's clock is wrong (it gets the time from the hypervisor), or the mirror is out of"
        " date: check `date` on the hypervisor",
    ),
    _sign(
        r"temporary failure resolving|could not resolve|name or service not known"
        r"|could not connect to|unable to connect to|connection (failed|timed out|refused)"
        r"|cannot initiate the connection|network is unreachable|no route to host"
        r"|certificate verification failed|does not have a release file",
        "the VM does not reach a mirror: it needs name servers (farm.network.dns with a bridge) and"
        " a route to its image's apt sources; or use an image that contains Docker, with"
        " farm.install_docker: false",
    ),
    _sign(
        r"^e: (unable to locate package|package .* has no installation candidate"
        r"|version .* for .* was not found|release .* for .* was not found)",
        "the mirror has no such package for the image's release: see farm.packages",
    ),
    _sign(
        r"^e: failed to fetch|hash sum mismatch"
        r"|^e: the repository .* (is not signed|no longer has)",
        "the VM's mirror does not have what its own index promises: see its image's apt sources",
    ),
    _sign(
        r"^dpkg: error processing|^e: sub-process .* returned an error code|^e: unmet dependencies"
        r"|^e: unable to correct problems",
        "a package could not be installed; the lines before this one say why",
    ),
    _sign(
        r"kernel panic - not syncing|alert!.* does not exist|gave up waiting for root"
        r"|bad geometry: block count|you are in emergency mode|error: no such (device|partition)"
        r"|^grub( rescue)?>|no bootable device|beyond end of|unknown filesystem",
        "the image does not boot on this VM: it needs virtio drivers, a boot loader for BIOS, and"
        " a farm.disk of at least the image's size",
    ),
    _sign(
        r"failed to start docker|failed to start daemon",
        "Docker does not start there: `journalctl --unit docker` on the VM says why",
    ),
)
_LOGIN = re.compile(r"\blogin:\s*$", re.MULTILINE)
_CLOUD_INIT = re.compile(r"cloud-init", re.IGNORECASE)
_PREFIX = re.compile(r"^(\[ *\d+\.\d+\] *)?(cloud-init\[\d+\]: *)?")
"""The prefix of a console's line: the kernel's time, and the name of the program."""


def cause(text: str) -> Cause | None:
    """Return why a first boot failed, or None if the text has no sign of that.

    Args:
        text: The VM's console, cloud-init's log, or both.
    """
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines()]
    for sign in _SIGNS:
        found = next((line for line in lines if sign.pattern.search(line)), None)
        if found is not None:
            return Cause(found, sign.advice)
    login = _LOGIN.search(text)
    if login is not None and not _CLOUD_INIT.search(text):
        return Cause(
            next(line for line in lines if _LOGIN.search(line)),
            "it booted without any output of cloud-init: farm.image needs cloud-init. Debian's"
            " generic and genericcloud images have it; the nocloud image does not",
        )
    return None


def errors(printed: str) -> list[str]:
    """Return cloud-init's own errors, by the text of ``RESULT``; none while it has not ended."""
    try:
        told = json.loads(printed)
    except ValueError:
        return []
    found = told.get("v1") if isinstance(told, dict) else None
    listed = found.get("errors") if isinstance(found, dict) else None
    return [str(each) for each in listed] if isinstance(listed, list) else []
