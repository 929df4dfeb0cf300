"""Owns the operations on AWS IoT policies, their attachments and their simulation."""
