"""Owns which plug-ins a pytest goes without that a test starts, as a user's has only those that the user needs."""

# All that are installed for the tests themselves, but pytest-xdist: to import them takes half of a short run.
OTHERS = ("anyio", "asyncio", "cacheprovider", "cov", "hypothesispytest", "randomly", "timeout")
WITHOUT_OTHERS = tuple(word for name in OTHERS for word in ("-p", f"no:{name}"))
