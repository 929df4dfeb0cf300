"""The registration authority: decides, issues and records; every edge ends here."""
