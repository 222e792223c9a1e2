"""Names that the program and the agents both use."""

SLOT_LABEL = "gatehouse.slot"
"""On each container of a service: the slot that it fills. Its own name is generated."""

TRAEFIK_LABEL = "gatehouse.traefik"
"""On Traefik's own container: the port of its API."""

PIDS_LABEL = "gatehouse.pids"
"""On each container: how many processes and threads it may have."""

OWN_LABEL = "gatehouse.labels"
"""On each container: the names of the labels that Gatehouse has given it. Docker adds the image's
labels. If both have the same name, the container's label counts, so an image cannot change this."""

INTERVAL_LABEL = "gatehouse.interval"
"""The check interval, such as ``10s``, of a container without Traefik's health-check labels."""

AGENT_PROGRAM = "agent.py"
"""The agent's file in the home of the user for SSH on a VM. It is an archive, which Python runs
whatever its suffix. The name is from an older version, and the VMs' systemd units contain it."""

AGENT_FOLDER = "/var/lib/gatehouse"
"""The agent's own folder on a VM."""

PASSED_ON = "passed-on@file"
"""How Traefik connects to the containers of TCP services; in ``vm_agent/templates/nowhere.yml``."""

PASSED_ON_WITH_ADDRESS = "with-address@file"
"""The same, with the client's address in the PROXY protocol."""
