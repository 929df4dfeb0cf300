"""Certificates that others have signed: how they are read, checked and recognised."""
