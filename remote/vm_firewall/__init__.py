"""The firewall of a VM, run there as root.

    python3 -m remote.vm_firewall allow NAME GRANT [--printed TEXT]
                                        let in what a grant says, a JSON document, under a name
    python3 -m remote.vm_firewall forbid NAME [--printed TEXT]
                                        no longer, unless another grant lets it in too

Anything else changes nothing. ``allow`` prints a mark (``remote.mark``), and keeps that of the
output that it gets. ``forbid`` leaves a grant whose mark is not in the text. The last grant for SSH
stays for SSH, or nobody could enter the VM any more; it goes when another one comes.

The first hook drops whatever no grant allows. It comes before Docker's translation of published
ports, because those packets bypass the chains that filter traffic to the machine itself. All
grants apply together: a new grant is added before the one that it replaces is removed, and no
request is lost between the two.

A grant that would shut out its sender is refused. sshd's ``SSH_CONNECTION``, in the environment,
begins with the sender's address.

It is sent to the VM as an archive, and imports only the standard library and itself.
"""
