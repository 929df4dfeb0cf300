"""The controls of the test mode: messages and operations that a service has only if it is started for tests."""
