"""Owns the authorization of devices: at CONNECT, and for each message by their policies or claim."""
