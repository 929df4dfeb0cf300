"""Owns what all of registration uses: ports, the one function that changes anything, the change feed, tags."""
