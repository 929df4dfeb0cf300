"""How the members of a request, in its path, query, headers and body, become a struct that keeps AWS's limits."""
