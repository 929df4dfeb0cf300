"""Owns the parts that all of registration uses: ports, the function for every change, the change feed, tags."""
