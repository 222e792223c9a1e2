"""The firewall of a VM, run there as root.

    python3 -m remote.vm_firewall allow NAME GRANT [--printed TEXT]
                                        put a grant, a JSON document, into force under a name
    python3 -m remote.vm_firewall forbid NAME [--printed TEXT]
                                        take it out of force

Anything else changes nothing. ``allow`` prints a mark (``remote.mark``); if TEXT has one, it keeps
that. ``forbid`` leaves a grant whose mark is not in TEXT. The last grant for SSH stays for SSH,
because otherwise nobody could enter the VM any more; it goes when another one comes.

The first hook drops whatever no grant allows. It comes before Docker's translation of published
ports, because those packets bypass the chains that filter traffic to the machine itself. All
grants apply together: a new grant is added before the one that it replaces is removed, and no
request is lost between the two.

A grant that would shut out its sender is refused. The environment variable ``SSH_CONNECTION``, set
by sshd, begins with the sender's address.

It is sent to the VM as an archive, and imports only the standard library and itself.
"""
