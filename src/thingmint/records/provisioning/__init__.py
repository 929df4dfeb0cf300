"""The tables of claims, provisioning templates and bulk registrations."""
