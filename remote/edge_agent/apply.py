"""Apply a haproxy.cfg: check it, swap the files, reload, and roll back if that fails.

The configuration in force is the one that HAProxy's worker has read, not the one in the file: a run
may be killed between the swap and the reload, and the next run has to notice.
"""

from contextlib import suppress

from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import bundle, chroot, facts, install, memory, timer, users, versions
from remote.edge_agent.checks import await_servers
from remote.edge_agent.facts import Facts, Listener
from remote.edge_agent.instance import Instance
from remote.edge_agent.ports import in_use
from remote.edge_agent.renew import renew
from remote.edge_agent.swap import checked, swap, tidy
from remote.edge_agent.system import EdgeError, text_of
from remote.edge_agent.tls import bring_up, with_certificates
from remote.edge_agent.versions import Version


def apply(instance: Instance, text: str, ready_seconds: float) -> None:
    """Apply the configuration ``text``, with the files in it.

    Raises:
        EdgeError: It failed; the old configuration keeps serving.
    """
    taken = bundle.unpack(text)
    known = facts.read(taken.files)
    install.haproxy()
    chroot.make(instance.folder)
    instance.keep_program(archive(EDGE_AGENT))
    instance.forget_state()
    limited = memory.limited(taken, known.max_connections, checks=len(known.checks))
    given = users.included(instance.folder, limited, known.users)
    wanted = bundle.Bundle(
        given.config, with_certificates(instance, given.files, known.certificates)
    )
    worker = instance.settled()
    before = None if worker is None else worker.version
    instance.restore_supervision()
    try:
        if before is None or not _is_read(instance, before, wanted):
            _exchange(instance, before, wanted, known, ready_seconds)
        else:
            instance.keep_running()
            instance.await_leaving()
            bring_up(instance, before, wanted)
    finally:
        with suppress(EdgeError):
            tidy(instance)
    instance.close_folder()
    users.forget_others(instance.folder, known.users)
    look_after_certificates(instance, known)


def _is_read(instance: Instance, running: Version, wanted: bundle.Bundle) -> bool:
    """Whether the worker has read a configuration, and HAProxy would read it at a start."""
    if not running.name or not running.config.exists() or not instance.live.exists():
        return False
    rendered, files = running.rendered(wanted), bundle.read(running.files)
    # The first was applied last; the second is on disk now.
    texts = (text_of(each) for each in (running.config, instance.live))
    return all(versions.same(bundle.Bundle(text, files), rendered) for text in texts)


def _exchange(
    instance: Instance,
    before: Version | None,
    wanted: bundle.Bundle,
    known: Facts,
    ready_seconds: float,
) -> None:
    new = checked(instance, wanted)
    old, listeners = Facts(), set[Listener]()
    if before is not None:
        old = before.known()
        # The worker's own version may be damaged or gone; the live one mostly has the same ports.
        listeners = {*old.listeners, *instance.live_version().known().listeners}
    taken = in_use(known.listeners, listeners, instance.workers())
    if taken:
        raise EdgeError("\n".join(taken) + "; free the port, or choose another one in the config")
    await_servers(known.checks - old.checks, ready_seconds)
    swap(instance, before, new)


def look_after_certificates(instance: Instance, known: Facts) -> None:
    """Obtain missing certificates, now that the edge serves, and start the timer for later ones.

    A missing certificate does not stop an update: the edge serves with those that it has.
    """
    timer.start(instance)
    if known.certificates is None:
        return
    renewed = renew(instance)
    for each in renewed.taken_up:
        print(f"certificate loaded for {each}")
    for problem in (*renewed.problems, *renewed.waiting):
        print(f"warning: {problem}")
