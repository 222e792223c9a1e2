"""The error of operations on a lab's stack."""


class StackError(Exception):
    """An operation on the stack failed; the text says why and what to do."""
