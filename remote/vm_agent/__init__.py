"""The agent on each VM: it decides which containers Traefik sees.

    python3 agent.py serve FOLDER            the daemon, under systemd
    python3 agent.py install FILE SECONDS    put this very program there, and wait until it runs
    python3 agent.py deployed SECONDS        wait until the daemon runs this very program
    python3 agent.py join CONTAINER SECONDS [mark=TEXT]
                                             show a container once it is healthy, wait for Traefik
    python3 agent.py leave CONTAINER GRACE [mark=TEXT]
                                             hide it, wait until its requests in flight are over
    python3 agent.py evacuate GRACE          wait for all requests in flight, stop all containers
    python3 agent.py ready CONTAINER PORT PATH SECONDS
                                             wait until a container answers HTTP

Traefik's Docker provider has no drain: it sends requests to whatever runs. So it does not talk to
Docker but to the daemon's socket, which shows it Docker's description of the containers that may
serve, and nothing else. A container may serve when it has joined and has passed its check since its
last start, until its process ends. One that leaves is hidden first, and stopped only when nothing
is in flight; Traefik forgets it without touching its open requests. While the daemon is away,
Traefik keeps what it has.

``join`` prints a mark (``remote.mark``), and counts once that has been printed; before, a container
that is new is hidden again if the command or the agent ends. A container that has got another mark
since does not leave.

It is sent to the VM as an archive, which stays there as ``agent.py``, and imports only the standard
library and itself. All of it is imported at the start, because the next version replaces the
archive while the daemon still runs.
"""
