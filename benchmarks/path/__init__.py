"""The data path: what stands between a client and an application, measured side by side.

Everything listens on this machine's loopback. Nothing of Debian's services is started: each proxy
is a process of its own, with a configuration of its own in a temporary folder.
"""
