"""Zuora-compatible credit memos served as a GraphQL API."""
