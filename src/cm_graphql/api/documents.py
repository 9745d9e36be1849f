"""Documents, parsed and validated once: clients send the same few thousands of times."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule

from cm_graphql.api.costs import Bill, Costing, costings
from cm_graphql.api.errors import ApiError, Code, DocumentRefused, FormattedError, from_api_error, from_request_error
from cm_graphql.api.limits import LimitExceeded, Limits, Size, check_document, check_size
from cm_graphql.engine.operations import Operation, operations_of

MAX_VALIDATION_ERRORS = 20
"""More errors in one document help nobody, and each costs time to find."""

CACHED_TOKENS = 150_000
"""What the documents kept may have in all; a token takes about 350 bytes once it is parsed. Their plans weigh too."""

CACHED_DOCUMENTS = 2_000

# The rule compares fields pairwise. This is graphql-core's own setting, at a fifth: the largest document with every
# limit used up stays far below it, and the worst hostile one ends after a quarter of a second instead of 1.3.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 100_000


@dataclass(frozen=True, slots=True)
class Document:
    """A document that passed the limits and validation."""

    node: DocumentNode
    operations: dict[str | None, Operation]
    costs: Mapping[str | None, Costing] = field(default_factory=dict)
    sizes: Mapping[str | None, Size] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """What it takes in memory, in tokens, with the plans made of it so far."""
        return self.node.token_count + sum(operation.weight for operation in self.operations.values())

    def operation(self, name: str | None) -> Operation | None:
        """The operation that would run; None when the name chooses none."""
        if name is None:
            return next(iter(self.operations.values())) if len(self.operations) == 1 else None
        return self.operations.get(name)

    def operation_type(self, operation_name: str | None) -> OperationType | None:
        """Tell what kind of operation would run; None when the name chooses none."""
        operation = self.operation(operation_name)
        return None if operation is None else operation.kind

    def bill(self, operation_name: str | None, variables: Mapping[str, Any] | None) -> Bill:
        """What the operation costs at most with these variables; nothing when the name chooses none."""
        costing = _chosen(self.costs, operation_name)
        return Bill(0) if costing is None else costing.in_request(variables)

    def size(self, operation_name: str | None) -> Size | None:
        """What the operation amounts to; None when the name chooses none."""
        return _chosen(self.sizes, operation_name)


Kept = TypeVar("Kept")


def _chosen(by_name: Mapping[str | None, Kept], name: str | None) -> Kept | None:
    """What is kept for the operation that would run."""
    if name is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    return by_name.get(name)


class Documents:
    """Answers for a text with its document or its errors, and remembers both for the texts used last."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool = True) -> None:
        self._schema = schema
        self._limits = limits
        self._introspection = introspection
        self._rules = (*specified_rules, MaybeNullValidationRule)
        if not introspection:
            self._rules = (*self._rules, NoSchemaIntrospectionCustomRule)
        self._kept: OrderedDict[str, tuple[Document | list[FormattedError], int]] = OrderedDict()
        self._kept_tokens = 0

    def kept(self, text: str) -> Document | None:
        """The document of a text, if it was asked for before and nothing is wrong with it."""
        outcome, _ = self._kept.get(text, (None, 0))
        if not isinstance(outcome, Document):
            return None
        self._kept.move_to_end(text)
        return outcome

    def prepare(self, text: str) -> Document:
        """Give the document of a text, or raise DocumentRefused with all that is wrong with it."""
        found = self._kept.get(text)
        if found is None:
            found = self._examine(text)
            self._keep(text, found)
        else:
            self._kept.move_to_end(text)
        outcome, _ = found
        if isinstance(outcome, Document):
            return outcome
        raise DocumentRefused(outcome)

    def _keep(self, text: str, found: tuple[Document | list[FormattedError], int]) -> None:
        if len(text) > self._limits.document_bytes:
            return  # refusing it again is cheaper than keeping it
        self._kept[text] = found
        self._kept_tokens += found[1]
        self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > CACHED_DOCUMENTS or self._kept_tokens > CACHED_TOKENS:
            _, (_, tokens) = self._kept.popitem(last=False)
            self._kept_tokens -= tokens

    def _weigh_again(self, text: str) -> None:
        """Note that a document has grown, by the plans of its operations."""
        outcome, weight = self._kept.get(text, (None, 0))
        if isinstance(outcome, Document):
            self._kept[text] = outcome, outcome.weight
            self._kept_tokens += outcome.weight - weight
            self._make_room()

    def _examine(self, text: str) -> tuple[Document | list[FormattedError], int]:
        """Parse and judge a text; give the outcome with its weight in tokens."""
        # A refused text weighs what its own characters take.
        weight = 1 + len(text) // 100
        try:
            check_size(text, self._limits)
            node = self._parse(text)
            sizes = check_document(node, self._limits)
        except ApiError as error:
            return [from_api_error(error)], weight
        except GraphQLSyntaxError as error:
            return [from_request_error(error, Code.GRAPHQL_PARSE_FAILED)], weight
        errors = validate(
            self._schema,
            node,
            self._rules,
            max_errors=MAX_VALIDATION_ERRORS,
            # A schema that may not be introspected is not to be guessed from hints either.
            hide_suggestions=not self._introspection,
        )
        if errors:
            return [self._format(error) for error in errors], weight
        operations = operations_of(node, partial(self._weigh_again, text))
        return Document(node, operations, costings(self._schema, node), sizes), node.token_count

    def _parse(self, text: str) -> DocumentNode:
        limit = self._limits.tokens
        try:
            node = parse(text, max_lexical_tokens=limit, max_comments=limit)
            _unlink(node)
            return node
        except GraphQLSyntaxError as error:
            # graphql-core stops at its limits with syntax errors; only the wording tells them apart.
            if "Parsing aborted" not in error.message:
                raise
            if "nested too deeply" in error.message:
                message = "The document is nested too deeply to be parsed."
                raise LimitExceeded("nesting", self._limits.nesting, None, message) from None
            message = f"The document has {limit + 1} or more tokens or comments; at most {limit} are allowed."
            raise LimitExceeded("tokens", limit, limit + 1, message) from None

    def _format(self, error: GraphQLError) -> FormattedError:
        if isinstance(error, ValidationAbortedError) and "Too many" not in error.message:
            message = "The document selects the same fields too often to be validated."
            return from_api_error(ApiError(message, Code.LIMIT_EXCEEDED, {"limit": "repeated_fields"}))
        return from_request_error(error, Code.GRAPHQL_VALIDATION_FAILED)


def _unlink(node: DocumentNode) -> None:
    """Let go of the chain of a document's tokens: nobody walks it any more, and forgotten ones would wait for the
    collector, which comes seldom to what has lived for long.
    """
    token = None if node.loc is None else node.loc.start_token
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following
