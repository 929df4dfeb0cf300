"""Owns policies, their attachments, and which of them are in force for a caller or a device."""
