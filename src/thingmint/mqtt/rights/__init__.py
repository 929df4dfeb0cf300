"""Owns what a device may do: whether it is admitted, and what its policies and claim allow for each message."""
