"""What a command ends with when it cannot do what it was asked for."""


class AdminError(Exception):
    """A sentence for the operator."""
