"""Owns the scheduling of the device edge's work: turns, fair queues, due times, deadlines, and the event loop's lag."""
