"""Write a version of the configuration beside the others, check it, and swap it in."""

import shutil

from remote.edge_agent import bundle, versions
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, haproxy, run, text_of
from remote.edge_agent.versions import Version


def checked(instance: Instance, wanted: bundle.Bundle) -> Version:
    """Return a new version of the configuration that HAProxy has checked.

    Raises:
        EdgeError: HAProxy refuses it; with HAProxy's message.
    """
    new = versions.write(instance.folder, wanted)
    result = run(haproxy(), "-c", "-f", str(new.config))
    if result.returncode != 0:
        shutil.rmtree(new.folder)
        told = result.stdout.replace(f"{new.folder}/", f"{instance.folder}/")
        raise EdgeError(f"HAProxy refuses the new configuration:\n{told}")
    return new


def swap(instance: Instance, before: Version | None, new: Version) -> None:
    """Make HAProxy read a version.

    Args:
        instance: The edge.
        before: The version that its worker runs; None if HAProxy does not run.
        new: The version that HAProxy has checked.

    Raises:
        EdgeError: HAProxy refuses it; the previous configuration stays in force.
    """
    if before is None:
        bundle.write_file(instance.live, text_of(new.config))
        instance.start()
        return
    # The worker's own text: a killed run may have replaced it in the live file.
    kept = before if before.config.exists() else instance.live_version()
    path = before.config if before.config.exists() else instance.live
    old = text_of(path) if path.exists() else ""
    text = text_of(new.config)
    try:
        # The state has addresses too, which differ if somebody has changed the live file by hand.
        if old and (instance.live_version() != before or text_of(instance.live) == old):
            instance.save_state(kept.known().checks, new.known().checks)
        bundle.write_file(instance.live, text)
        if not instance.reload():
            log = instance.last_words()
            bundle.write_file(instance.live, old)
            instance.reload()
            raise EdgeError(
                "HAProxy could not load the new configuration, and keeps serving with the old"
                f" one:\n{log}"
            )
    finally:
        instance.forget_state()


def put(instance: Instance, before: Version | None, wanted: bundle.Bundle) -> None:
    """Make HAProxy check and read a configuration.

    Raises:
        EdgeError: HAProxy refuses it; the previous configuration stays in force.
    """
    swap(instance, before, checked(instance, wanted))


def tidy(instance: Instance) -> None:
    """Remove the versions that neither HAProxy's worker nor the live haproxy.cfg uses."""
    worker = instance.worker()
    kept = set() if worker is None else {worker.version.name}
    versions.tidy(instance.folder, instance.live_version().name, kept)
