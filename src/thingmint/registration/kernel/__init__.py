"""What all of registration stands on: ports, the funnel of changes, the change feed, tags and events."""
