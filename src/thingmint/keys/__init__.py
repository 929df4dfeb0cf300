"""Owns where key pairs come from: workers that generate them, and a bounded reserve; knows nothing of certificates.

A worker is a process that runs `keys.worker`. This module imports nothing, so that a worker loads nothing else.
"""
