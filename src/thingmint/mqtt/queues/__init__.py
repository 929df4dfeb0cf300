"""Owns the queues of messages for clients: in order, with memory limits, each message counted once."""
