"""Owns the benchmarks: ratios against named references, measured in one run; knows the service from outside only."""
