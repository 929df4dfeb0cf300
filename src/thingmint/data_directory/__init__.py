"""Owns the files of the data directory: its lock, the durable writing of files, and the files of the first start."""
