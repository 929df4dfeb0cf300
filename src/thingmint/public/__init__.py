"""What anyone may be allowed to fetch without the API: the pages of the log."""
