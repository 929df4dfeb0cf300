"""Owns policies, their attachments, and which policies are in force for a caller or a device."""
