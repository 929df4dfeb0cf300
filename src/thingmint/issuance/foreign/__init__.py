"""Owns certificates that others have signed: how they are read, checked and recognised."""
