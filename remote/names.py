"""Names that the program and what runs elsewhere both use."""

SLOT_LABEL = "gatehouse.slot"
"""On each container of a service: the slot that it fills. Its own name is generated."""

TRAEFIK_LABEL = "gatehouse.traefik"
"""On Traefik's own container: the port of its API."""

PIDS_LABEL = "gatehouse.pids"
"""On each container: how many processes and threads it may have."""

OWN_LABEL = "gatehouse.labels"
"""On each container: the names of the labels that Gatehouse has given it. Docker adds the image's,
and where both have one, the container's counts; so no image can say anything here."""

INTERVAL_LABEL = "gatehouse.interval"
"""The check interval, such as ``10s``, of a container without Traefik's health-check labels."""

AGENT_PROGRAM = "agent.py"
"""The agent's file in the home of the user that may enter a VM. It is an archive, which Python runs
whatever its name ends in; the name is older than that, and the systemd units on the VMs have it."""

AGENT_FOLDER = "/var/lib/gatehouse"
"""The agent's own folder on a VM."""

PASSED_ON = "passed-on@file"
"""How Traefik connects to the containers of TCP services; in ``vm_agent/templates/nowhere.yml``."""

PASSED_ON_WITH_ADDRESS = "with-address@file"
"""The same, with the client's address in the PROXY protocol."""
