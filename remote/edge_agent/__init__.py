"""The program on the edge's host that keeps an HAProxy of Gatehouse: run by Pulumi and by timers.

    python3 -m remote.edge_agent users FOLDER NAME < userlists
    python3 -m remote.edge_agent apply FOLDER NAME READY_SECONDS < haproxy.cfg
    python3 -m remote.edge_agent renew FOLDER NAME [now]
    python3 -m remote.edge_agent remove FOLDER NAME [--printed TEXT]
    python3 -m remote.edge_agent log FOLDER NAME < HAProxy's output
    python3 -m remote.edge_agent link FOLDER NAME

The edge is an HAProxy of its own, in FOLDER, kept running by systemd as ``gatehouse-NAME.service``
where systemd runs and by a loop in a shell elsewhere; the distribution's instance is not touched.
The new text is checked beside the live file, each new server is asked what HAProxy will ask it,
and only then is the file swapped and HAProxy reloaded, and the result of the reload read. Whatever
fails, the old configuration goes on serving, and the reason is on stderr.

With TLS, certificates are found, checked and assembled for HAProxy on the edge's host. ``renew``,
which a timer runs every hour, has newer ones taken up without a reload, and obtains what is due by
ACME; with ``now`` also what failed only recently.

It travels to another host as an archive and imports nothing but the standard library and itself. A
copy stays in FOLDER as ``keeper.pyz``, for what is to happen between two runs of Pulumi.
"""
