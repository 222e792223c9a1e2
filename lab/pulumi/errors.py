"""What can go wrong with a lab's stack."""


class StackError(Exception):
    """An operation on the stack cannot be done; the text says why and what to do."""
