"""Owns when the device edge does its work: turns, fair lines, due times, deadlines, and how late the loop is."""
