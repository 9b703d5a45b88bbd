"""Studies: what the methods are worth, measured through the service. tools/study runs them."""
