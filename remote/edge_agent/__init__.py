"""The edge agent: it manages HAProxy on the edge's host. Pulumi and a timer run it.

    python3 -m remote.edge_agent users FOLDER NAME < userlists
    python3 -m remote.edge_agent apply FOLDER NAME READY_SECONDS < haproxy.cfg
    python3 -m remote.edge_agent renew FOLDER NAME [now]
    python3 -m remote.edge_agent remove FOLDER NAME [--printed TEXT]
    python3 -m remote.edge_agent log FOLDER NAME < HAProxy's output
    python3 -m remote.edge_agent link FOLDER NAME

The edge is a separate HAProxy, in FOLDER. systemd keeps it running as ``gatehouse-NAME.service``;
without systemd, a loop in a shell does. The distribution's own instance is not touched.
``apply`` checks the new text beside the live file, runs HAProxy's health check on each new server,
then swaps the file, reloads HAProxy, and reads the result of the reload. If a step fails, the old
configuration keeps serving, and the reason is on stderr.

With TLS, the edge agent finds, checks and assembles certificates for HAProxy on the edge's host. A
timer runs ``renew`` every hour: it loads newer certificates without a reload, and obtains due ones
by ACME. With ``now``, it also tries again those that have just failed.

It is sent to another host as an archive, and imports only the standard library and itself. A copy
stays in FOLDER as ``keeper.pyz``, for the timer and for systemd.
"""
