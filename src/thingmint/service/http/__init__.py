"""How the HTTP applications of a node are put together: the API, the console and EST."""
