"""Owns how certificates are issued, registered, transferred and provided."""
