"""The error of the agent's commands."""


class AgentError(Exception):
    """The request cannot be carried out; the text says why."""
