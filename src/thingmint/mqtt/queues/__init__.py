"""Owns how messages wait for clients: charged once, in order, within bounds on memory."""
