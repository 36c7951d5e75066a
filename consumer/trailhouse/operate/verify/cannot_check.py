"""What a duty raises that cannot say anything."""


class CannotCheckError(Exception):
    """A duty cannot say anything, and why; never raised to who called `verify`."""
