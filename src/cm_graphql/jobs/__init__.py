"""The background door: durable work that a request only starts."""
