"""Owns the generation of key pairs: worker processes, and a bounded reserve, independent of certificates.

A worker is a process that runs `keys.worker`. This module imports nothing, so that a worker loads only what it needs.
"""
