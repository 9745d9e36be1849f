"""Errors of a request itself, each with the code that clients branch on."""

from graphql import GraphQLError


class RequestError(GraphQLError):
    """A fault of the request that belongs in GraphQL's own `errors` (api.md, Mutations), with its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, extensions={"code": code})


class BadUserInput(RequestError):
    """A malformed or impossible value: BAD_USER_INPUT."""

    def __init__(self, message: str) -> None:
        super().__init__("BAD_USER_INPUT", message)
