"""What a device may do: how it is admitted, and what its policies and claim allow it for each message."""
