"""The operations on provisioning templates, fleets and bulk registration."""
