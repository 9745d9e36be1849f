"""The door that speaks GraphQL: over HTTP, within limits, with an error code on everything that fails."""
