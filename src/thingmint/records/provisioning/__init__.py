"""Owns the tables of claims, provisioning templates and bulk registrations."""
