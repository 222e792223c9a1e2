"""Puts a haproxy.cfg into force: checked, swapped, reloaded, and put back if that fails.

In force is what HAProxy's worker has read, not what is in a file: a run may be killed between the
two, and the next one has to see that.
"""

from contextlib import suppress

from remote.edge_agent import bundle, chroot, install, memory, timer, users, versions
from remote.edge_agent.archive import archive
from remote.edge_agent.checks import await_servers, checks
from remote.edge_agent.instance import Instance
from remote.edge_agent.ports import in_use
from remote.edge_agent.renew import renew
from remote.edge_agent.swap import checked, swap, tidy
from remote.edge_agent.system import EdgeError, text_of
from remote.edge_agent.tls import bring_up, spec_in, with_certificates
from remote.edge_agent.versions import Version


def understood(text: str) -> bundle.Bundle:
    """Return the configuration and the files in a text.

    Raises:
        EdgeError: It is not what Gatehouse writes.
    """
    taken = bundle.take_apart(text)
    spec_in(taken.files)
    users.named(taken)
    return taken


def apply(instance: Instance, text: str, ready_seconds: float) -> None:
    """Put the configuration ``text`` into force, with the parts that are in it.

    Raises:
        EdgeError: It cannot be; what was in force before still is.
    """
    taken = understood(text)
    install.haproxy()
    chroot.make(instance.folder)
    instance.keep_program(archive())
    instance.forget_state()
    given = memory.limited(users.included(instance.folder, taken))
    wanted = bundle.Bundle(given.config, with_certificates(instance, given.files))
    worker = instance.settled()
    before = None if worker is None else worker.version
    try:
        if before is None or not _is_read(instance, before, wanted):
            _exchange(instance, before, wanted, ready_seconds)
        else:
            instance.keep_running()
            instance.await_leaving()
            bring_up(instance, before, wanted)
    finally:
        with suppress(EdgeError):
            tidy(instance)
    instance.close_folder()
    users.forget_others(instance.folder, wanted)
    look_after_certificates(instance, wanted)


def _is_read(instance: Instance, running: Version, wanted: bundle.Bundle) -> bool:
    """Whether the worker has read a configuration, and HAProxy would read it at a start."""
    if not running.name or not running.config.exists() or not instance.live.exists():
        return False
    rendered, files = running.rendered(wanted), bundle.read(running.files)
    # The first is what was put into force, the second what is there now.
    texts = (text_of(each) for each in (running.config, instance.live))
    return all(versions.same(bundle.Bundle(text, files), rendered) for text in texts)


def _exchange(
    instance: Instance, before: Version | None, wanted: bundle.Bundle, ready_seconds: float
) -> None:
    new = checked(instance, wanted)
    old = "" if before is None else before.given().config
    # The worker's own text may be damaged or gone; the live one mostly names the same ports.
    live = text_of(instance.live) if before is not None and instance.live.is_file() else ""
    taken = in_use(wanted.config, f"{old}\n{live}")
    if taken:
        raise EdgeError("\n".join(taken) + "; free the port, or choose another one in the config")
    await_servers(checks(wanted.config) - checks(old), ready_seconds)
    swap(instance, before, new)


def look_after_certificates(instance: Instance, new: bundle.Bundle) -> None:
    """Obtain those that are missing, now that the edge serves, and see to the later ones.

    What is missing does not stop an update: the edge serves with what it has.
    """
    timer.start(instance)
    if spec_in(new.files) is None:
        return
    renewed = renew(instance)
    for each in renewed.taken_up:
        print(f"certificate loaded for {each}")
    for problem in renewed.problems:
        print(f"warning: {problem}")
