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


class BadValue(ValueError):
    """A value that a scalar does not take. graphql-core adds where it stands, in the document or in which variable,
    which it does not for errors of its own kind; the answer's code is BAD_USER_INPUT.
    """
