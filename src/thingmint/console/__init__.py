"""The web console: pages for operators, which act through the API's operations alone."""
