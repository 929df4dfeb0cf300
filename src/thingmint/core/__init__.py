"""Owns the nouns and rules of device certificates; knows the standard library and nothing else."""
