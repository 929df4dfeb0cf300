"""Owns terminal input and output: help, columns, tables, progress, and the reading of numbers and times."""
