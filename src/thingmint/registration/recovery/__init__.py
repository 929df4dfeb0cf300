"""Owns the recovery of a registry from a backup: verification of its signatures, and repetition of later changes."""
