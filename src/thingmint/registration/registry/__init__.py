"""Things, their types, groups and principals, billing groups, role aliases and event configurations."""
