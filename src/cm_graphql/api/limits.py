"""What a document may cost before anything looks at it twice: every count here takes time linear in the document."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from cm_graphql.api.errors import ApiError, Code

CEILING = 1_000_000_000
"""Counts stop here: doubling fragments multiply to numbers of hundreds of digits, which no message should carry."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest request that is looked at. The defaults admit the standard introspection query and every request
    that domain.md allows.
    """

    body_bytes: int = 16 * 1024 * 1024
    json_depth: int = 64
    json_values: int = 500_000
    """Each takes some dozens of bytes in memory, and two in a body. The largest legal request has 461,000."""
    document_bytes: int = 64 * 1024
    tokens: int = 5_000
    depth: int = 25
    nesting: int = 100
    fields: int = 2_000
    repeated_fields: int = 200
    root_fields: int = 50
    aliases: int = 100
    directives: int = 100
    directives_per_place: int = 5
    batch: int = 0
    """Operations in one request, as a JSON array; 0: none. Together they keep within what one operation may have."""
    cost: int = 2_000_000
    """What an operation may cost (`costs`); `check_document` does not look at it, for it depends on the variables."""


class LimitExceeded(ApiError):
    """A request is larger than a limit; the error names the limit, its value and what was asked."""

    def __init__(self, limit: str, maximum: int, actual: int | None, message: str) -> None:
        extensions: dict[str, object] = {"limit": limit, "maximum": maximum}
        if actual is not None:
            extensions["actual"] = actual
        super().__init__(message, Code.LIMIT_EXCEEDED, extensions)


def check_size(text: str, limits: Limits) -> None:
    """Refuse a document of too many bytes, before it is parsed."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.document_bytes:
        raise LimitExceeded(
            "document_bytes",
            limits.document_bytes,
            size,
            f"The document has {size} bytes; at most {limits.document_bytes} are allowed. Send values as variables.",
        )


def check_document(document: DocumentNode, limits: Limits) -> "dict[str | None, Size]":
    """Refuse a parsed document that is too deep, too wide or multiplies itself through fragments; give the size of
    each operation, by its name.

    Runs before validation, so it takes fragments as they come: unknown ones and circles count nothing, because
    validation refuses those anyway.
    """
    sizes = measure(document)
    for size in sizes:
        for limit, actual in size.counts():
            maximum: int = getattr(limits, limit)
            if actual > maximum:
                raise LimitExceeded(limit, maximum, actual, _sentence(size.name, _WORDS[limit], maximum, actual))
    return {size.operation_name: size for size in sizes if not size.is_fragment}


_WORDS: Mapping[str, str] = {
    "depth": "levels of fields",
    "nesting": "levels of selections and fragments",
    "fields": "fields when its fragments are spread out",
    "repeated_fields": "fields selected again beside themselves",
    "root_fields": "root fields",
    "aliases": "aliases",
    "directives": "directives",
    "directives_per_place": "directives in one place",
}


SUMMED = ("document_bytes", "tokens", "fields", "repeated_fields", "root_fields", "aliases", "directives", "cost")
"""Limits that the operations of a batch keep within together; the others are about how deep a single one goes."""


class Together:
    """What the operations of a batch amount to, who would otherwise have every limit as often as they are many."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sums: Counter[str] = Counter()
        self._texts: set[str] = set()

    def add_text(self, text: str) -> bool:
        """Count a document in before it is parsed, once however often it is sent; whether it is new."""
        if text in self._texts:
            return False
        self._texts.add(text)
        self._add("document_bytes", len(text.encode("utf-8", "surrogatepass")))
        return True

    def add_tokens(self, tokens: int) -> None:
        """Count in what a new document was parsed to."""
        self._add("tokens", tokens)

    def add_operation(self, size: "Size", cost: int) -> None:
        """Count an operation in; raises LimitExceeded, as all of these do."""
        for limit, actual in size.counts():
            if limit in SUMMED:
                self._add(limit, actual)
        self._add("cost", cost)

    def _add(self, limit: str, actual: int) -> None:
        self._sums[limit] += actual
        total, maximum = self._sums[limit], getattr(self._limits, limit)
        if total > maximum:
            counted = _WORDS.get(limit, {"document_bytes": "bytes of documents"}.get(limit, limit))
            message = _sentence("The batch", counted, maximum, total)
            raise LimitExceeded(limit, maximum, total, f"{message} Send fewer operations at once.")


def _sentence(who: str, counted: str, maximum: int, actual: int) -> str:
    shown = f"more than {CEILING - 1}" if actual >= CEILING else str(actual)
    return f"{who} has {shown} {counted}; at most {maximum} are allowed."


@dataclass(slots=True)
class Size:
    """What one operation or fragment amounts to with all its fragments spread out."""

    name: str
    is_fragment: bool
    operation_name: str | None = None
    depth: int = 0
    nesting: int = 0
    fields: int = 0
    repeated_fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0
    directives_per_place: int = 0
    spreads: list["_Spread"] = field(default_factory=list)

    def counts(self) -> Iterator[tuple[str, int]]:
        """Give each limit's name with the count that it limits."""
        for limit in _WORDS:
            # A fragment's first level is a root only where an operation spreads it there.
            if limit != "root_fields" or not self.is_fragment:
                yield limit, getattr(self, limit)

    def add(self, spread: "_Spread", spreaded: "Size") -> None:
        """Count a fragment in, at the place where it is spread."""
        self.depth = max(self.depth, spread.depth + spreaded.depth)
        self.nesting = max(self.nesting, spread.nesting + spreaded.nesting)
        self.fields = min(self.fields + spreaded.fields, CEILING)
        self.repeated_fields = min(self.repeated_fields + spreaded.repeated_fields, CEILING)
        self.aliases = min(self.aliases + spreaded.aliases, CEILING)
        self.directives = min(self.directives + spreaded.directives, CEILING)
        if spread.depth == 0:
            self.root_fields = min(self.root_fields + spreaded.root_fields, CEILING)


@dataclass(frozen=True, slots=True)
class _Spread:
    """A fragment is used here: below so many fields, inside so many selection sets."""

    name: str
    depth: int
    nesting: int


def measure(document: DocumentNode) -> list[Size]:
    """Measure every operation and fragment, each fragment once however often it is spread."""
    sizes: list[Size] = []
    fragments: dict[str, Size] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            own = definition.name.value if definition.name else None
            name = f"Operation '{own}'" if own else "The operation"
            sizes.append(_measure_alone(definition, Size(name, is_fragment=False, operation_name=own)))
        elif isinstance(definition, FragmentDefinitionNode):
            size = _measure_alone(definition, Size(f"Fragment '{definition.name.value}'", is_fragment=True))
            sizes.append(size)
            fragments.setdefault(definition.name.value, size)
    _spread_out(sizes, fragments)
    return sizes


def _measure_alone(definition: OperationDefinitionNode | FragmentDefinitionNode, size: Size) -> Size:
    """Count what stands in one definition itself, and note where it spreads fragments."""
    _count_directives(size, definition.directives)
    for variable in definition.variable_definitions or ():
        _count_directives(size, variable.directives)
    # One set of seen names goes with all selection sets that are one after merging: inline fragments join their parent.
    stack: list[tuple[SelectionSetNode, int, int, set[str]]] = [(definition.selection_set, 0, 1, set())]
    while stack:
        selections, depth, nesting, seen = stack.pop()
        size.nesting = max(size.nesting, nesting)
        for selection in selections.selections:
            _count_directives(size, selection.directives)
            below = _count_selection(size, selection, depth, nesting, seen)
            if below is not None:
                stack.append(below)
    return size


def _count_selection(
    size: Size, selection: SelectionNode, depth: int, nesting: int, seen: set[str]
) -> tuple[SelectionSetNode, int, int, set[str]] | None:
    """Count one selection; give what is to be counted below it."""
    if isinstance(selection, FieldNode):
        name = selection.alias.value if selection.alias else selection.name.value
        size.fields += 1
        size.root_fields += depth == 0
        size.aliases += selection.alias is not None
        size.repeated_fields += name in seen
        seen.add(name)
        size.depth = max(size.depth, depth + 1)
        return (selection.selection_set, depth + 1, nesting + 1, set()) if selection.selection_set else None
    if isinstance(selection, InlineFragmentNode):
        return selection.selection_set, depth, nesting + 1, seen
    if isinstance(selection, FragmentSpreadNode):
        spread_name = f"...{selection.name.value}"
        size.repeated_fields += spread_name in seen
        seen.add(spread_name)
        size.spreads.append(_Spread(selection.name.value, depth, nesting))
    return None


def _count_directives(size: Size, directives: Iterable[object] | None) -> None:
    count = len(tuple(directives or ()))
    size.directives += count
    size.directives_per_place = max(size.directives_per_place, count)


def _spread_out(sizes: list[Size], fragments: Mapping[str, Size]) -> None:
    """Add fragments to those who spread them, deepest first, with a stack of our own instead of recursion."""
    done: set[int] = set()
    on_stack: set[int] = set()
    for root in sizes:
        stack = [(root, 0)] if id(root) not in done else []
        while stack:
            size, index = stack.pop()
            on_stack.add(id(size))
            if index == len(size.spreads):
                on_stack.discard(id(size))
                done.add(id(size))
                continue
            spread = size.spreads[index]
            below = fragments.get(spread.name)
            if below is not None and id(below) not in done and id(below) not in on_stack:
                stack += [(size, index), (below, 0)]  # the fragment first, then this very spread again
                continue
            stack.append((size, index + 1))
            if below is not None and id(below) in done:  # else unknown or a circle: validation refuses both
                size.add(spread, below)
