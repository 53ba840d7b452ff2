"""What goes wrong when a guest is fetched."""


class GuestError(Exception):
    """One clear line for the user: why a guest cannot be had, and what to do about it."""
