"""Owns the files of the data directory: who may hold it, how they are written, and what the first start creates."""
