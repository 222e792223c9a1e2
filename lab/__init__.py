"""A disposable data center on one machine, for `make up` and the end-to-end tests.

The program in `components/` does not know that this package exists.
"""
