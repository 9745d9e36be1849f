"""GraphQL inputs made from the domain's command records, so that no field of a request is listed twice.

A record `PostCreditMemo` becomes the input `PostCreditMemoInput`; what Strawberry hands to a resolver is turned back
into the record. A field's `Doc` is its description.

Where no resolver is asked, a record is made of what a request has for its input: straight of JSON, or of the literals
and variables of a document. Whatever is unusual about it is left to graphql-core and to the resolver, which say why.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import strawberry
from graphql import (
    GraphQLInputObjectType,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_non_null_type,
    value_from_ast_untyped,
)
from graphql.type import get_nullable_type
from strawberry.types.field import StrawberryField

from cm_graphql.api.uploads import Upload
from cm_graphql.domain.commands import base
from cm_graphql.engine.arguments import TAKERS, Make, Take, has_variables, taker
from cm_graphql.fields.declare import NAMES, typed
from cm_graphql.fields.errors import BadUserInput
from cm_graphql.fields.ids import id_of
from cm_graphql.fields.scalars import Json

ID_FIELDS: Mapping[str, tuple[str, ...]] = {
    "credit_memo_item_id": ("cmi",),
    "credit_tax_item_id": ("cmt",),
    "memo_item_id": ("cmi",),
    "invoice_item_id": ("ini",),
    "debit_memo_item_id": ("dmi",),
    "tax_item_id": ("int", "dmt"),
    "source_tax_item_id": ("int",),
    "product_rate_plan_charge_id": ("chg",),
    "payment_method_id": ("pm",),
    "pdf_file_id": ("cmf",),
}
"""Fields that hold an id of a certain kind, by name; others named `..._id` are free text from other systems."""

_INPUTS: dict[type, type] = {}


def input_of(record: type) -> type:
    """The input type of a command record, made once."""
    if record not in _INPUTS:
        name = f"{record.__name__}Input"
        made: dict[str, tuple[StrawberryField, Any]] = {}
        one_of = getattr(record, "one_of", False)
        for field, hint, doc in _fields(record):
            annotation, default = _annotation(hint), _default(field)
            if default is not dataclasses.MISSING:
                # Null is then as good as leaving it out, which spares clients from leaving out variables.
                annotation = annotation | None
            made[field.name] = strawberry.field(description=doc, default=default), annotation
        description = " ".join((record.__doc__ or "").split())

        def make(cls: Any, text: str = description, one_of: bool = one_of) -> Any:
            return strawberry.input(cls, description=text, one_of=one_of)

        _INPUTS[record] = NAMES[name] = typed(type(name, (), {}), made, make)
        setattr(_INPUTS[record], TAKERS, partial(taker_of, record))
    return _INPUTS[record]


def _fields(record: type) -> list[tuple[dataclasses.Field[Any], Any, str]]:
    """Each field of a record with its plain type and its description; the memo's own fields first."""
    hints = get_type_hints(record, include_extras=True)
    found = []
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        assert get_origin(hint) is Annotated, f"{record.__name__}.{field.name} has no Doc"
        plain, *extras = get_args(hint)
        doc = next(extra.text for extra in extras if isinstance(extra, base.Doc))
        found.append((field, plain, doc))
    generic = ("idempotency_key", "dry_run", "if_version")
    return sorted(found, key=lambda entry: (entry[0].name != "key", entry[0].name in generic))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING or field.default is base.UNSET or field.default is None:
        return strawberry.UNSET
    if isinstance(field.default, tuple | dict):
        return strawberry.UNSET
    return field.default


def _annotation(hint: Any) -> Any:
    """The annotation that Strawberry reads for a record's type."""
    if hint is base.Key:
        return strawberry.ID
    if hint is base.Json or get_origin(hint) is _MAPPING:
        return Json
    if hint is base.UploadedFile:
        return Upload
    if _is_union(hint):
        members = [member for member in get_args(hint) if member is not base.Unset]
        kept = [_annotation(member) for member in members if member is not type(None)]
        assert len(kept) == 1, f"{hint} has no GraphQL type"
        return kept[0] | None if not isinstance(kept[0], str) else f"{kept[0]} | None"
    if get_origin(hint) is tuple:
        inner = _annotation(get_args(hint)[0])
        return list[inner]  # type: ignore[valid-type]
    if dataclasses.is_dataclass(hint):
        return input_of(hint)  # type: ignore[arg-type]
    return hint


_MAPPING = get_origin(base.Json)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def command_of(record: type, given: Any) -> Any:
    """The record that an input stands for; malformed ids and text no database takes are BAD_USER_INPUT."""
    return _reader(record)(given)


_READERS: dict[type, Callable[[Any], Any]] = {}


def _reader(record: type) -> Callable[[Any], Any]:
    """The function that reads one kind of record; made once, since requests can have thousands of lines."""
    if record not in _READERS:
        entries = [(field, _value_reader(field.name, hint), _required(hint)) for field, hint, _ in _fields(record)]

        def read(given: Any) -> Any:
            values: dict[str, Any] = {}
            for field, reader, optional in entries:
                value = getattr(given, field.name)
                if value is strawberry.UNSET or (value is None and not optional):
                    continue
                values[field.name] = None if value is None else reader(value)
            return record(**values)

        _READERS[record] = read
    return _READERS[record]


def _required(hint: Any) -> bool:
    """Whether null is a value of the field; where it is not, null is as good as leaving it out."""
    return _is_union(hint) and type(None) in get_args(hint)


def _value_reader(
    name: str, hint: Any, of_record: Callable[[type], Callable[[Any], Any]] = _reader
) -> Callable[[Any], Any]:
    """What reads a field's value; `of_record` gives what reads the records in it."""
    hint = _plain(hint)
    if get_origin(hint) is tuple:
        inner = _value_reader(name, get_args(hint)[0], of_record)
        return tuple if inner is _as_is else lambda values: tuple(inner(value) for value in values)
    if _is_record(hint):
        return of_record(hint)
    if name in ID_FIELDS:
        prefixes = ID_FIELDS[name]
        return lambda value: id_of(str(value), *prefixes)
    if hint is str or hint is base.Key:
        return _text
    if hint is base.Json or get_origin(hint) is _MAPPING:
        return _object
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: hint(value)
    return _as_is


def _plain(hint: Any) -> Any:
    """The type of a field that is not left out, nor null."""
    if not _is_union(hint):
        return hint
    (plain,) = (member for member in get_args(hint) if member not in (type(None), base.Unset))
    return plain


def _is_record(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) and hint is not base.UploadedFile


def _as_is(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    text = str(value)
    if "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
        raise BadUserInput("Text must not hold the character U+0000, nor halves of surrogate pairs.")
    return text


def _object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise BadUserInput("Custom fields are an object of names and values.")
    _clean(value, 1)
    return value


def _clean(value: Any, depth: int) -> None:
    if depth > 20:
        raise BadUserInput("JSON is nested more than 20 levels deep.")
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _text(key)
            _clean(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _clean(inner, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadUserInput("JSON holds a number that is too large for one: give it as text.")


# --- without resolvers ------------------------------------------------------------------------------------------------

ABSENT: Final = object()
"""Stands for a variable that was not given, and has no default."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """A field of an input, and of its record."""

    name: str
    hint: Any
    type: Any
    """The GraphQL type, null aside."""
    needed: bool
    takes_null: bool
    keeps_null: bool
    """Whether null is a value; where it is not, it is as good as leaving the field out."""
    read: Callable[[Any], Any]
    """Makes the record's value of a coerced one."""
    take: Take | None
    """Makes it of JSON."""


@cache
def _entries(record: type, type_: GraphQLInputObjectType) -> dict[str, _Entry]:
    """The fields of an input by their names."""
    of_record = {field.name: hint for field, hint, _ in _fields(record)}
    made = {}
    for name, field in type_.fields.items():
        python_name = field.extensions["strawberry-definition"].python_name
        hint, required = of_record[python_name], is_non_null_type(field.type)
        read = _value_reader(python_name, hint, lambda _: _as_is)
        plain = get_nullable_type(field.type)
        take = _after(taker(plain), read)
        made[name] = _Entry(python_name, hint, plain, required, not required, _required(hint), read, take)
    return made


def _after(take: Take | None, read: Callable[[Any], Any]) -> Take | None:
    if take is None or read is _as_is:
        return take

    def taken(value: Any) -> Any:
        found = take(value)
        return Undefined if found is Undefined else read(found)

    return taken


def _put(values: dict[str, Any], entry: _Entry, value: Any) -> bool:
    """Give a record's field its value, which may be null; whether that is usual."""
    if value is None:
        if entry.keeps_null:
            values[entry.name] = None
        return entry.takes_null
    values[entry.name] = value
    return value is not Undefined


def taker_of(record: type, type_: GraphQLInputObjectType) -> Take | None:
    """What makes records of JSON; None where there is nothing usual about any."""
    entries = _entries(record, type_)
    takes = {name: (entry, entry.take) for name, entry in entries.items()}
    if type_.is_one_of or any(take is None for _, take in takes.values()):
        return None
    needed = frozenset(entry.name for entry in entries.values() if entry.needed)

    def taken(given: Any) -> Any:
        if type(given) is not dict:
            return Undefined
        values: dict[str, Any] = {}
        try:
            for name, value in given.items():
                entry, take = takes[name]
                if not _put(values, entry, None if value is None else take(value)):  # type: ignore[misc]
                    return Undefined
        except (KeyError, BadUserInput):  # a field that there is not, or a value that is refused
            return Undefined
        return record(**values) if values.keys() >= needed else Undefined

    return taken


def maker_of(record: type, type_: Any, node: ValueNode) -> Make | None:
    """What makes a record of the variables, for a value in a document; Undefined where something is unusual about them,
    and None where it always is.
    """
    if isinstance(node, VariableNode):
        name = node.name.value
        return lambda variables: Undefined if variables.get(name) is None else variables[name]
    type_ = get_nullable_type(type_)
    if not isinstance(node, ObjectValueNode) or type_.is_one_of:
        return None
    entries = _entries(record, type_)
    constants: dict[str, Any] = {}
    varying: list[tuple[_Entry, Make]] = []
    for given in node.fields:
        entry = entries[given.name.value]
        if has_variables(given.value):
            make = _value_maker(entry.hint, entry.type, given.value, entry.read)
            if make is None:
                return None
            varying.append((entry, make))
        elif not _put(constants, entry, _constant(entry, given.value)):
            return None
    if any(entry.needed for name, entry in entries.items() if name not in {given.name.value for given in node.fields}):
        return None

    def made(variables: Mapping[str, Any]) -> Any:
        values = constants.copy()
        try:
            for entry, make in varying:
                value = make(variables)
                if value is ABSENT:
                    if entry.needed:
                        return Undefined
                elif not _put(values, entry, value):
                    return Undefined
        except BadUserInput:
            return Undefined
        return record(**values)

    return made


def _constant(entry: _Entry, node: ValueNode) -> Any:
    value = value_from_ast_untyped(node)
    try:
        return None if value is None else Undefined if entry.take is None else entry.take(value)
    except BadUserInput:
        return Undefined


def _value_maker(hint: Any, type_: Any, node: ValueNode, read: Callable[[Any], Any]) -> Make | None:
    """What makes a field's value of the variables in it."""
    hint = _plain(hint)
    if isinstance(node, VariableNode):
        return _of_variable(node.name.value, read)
    if _is_record(hint):
        return maker_of(hint, type_, node)
    if get_origin(hint) is not tuple or not isinstance(node, ListValueNode):
        return None
    inner, of_inner = get_args(hint)[0], type_.of_type
    if not _is_record(inner):
        return None
    makers = [maker_of(inner, of_inner, item) for item in node.values]
    return None if None in makers else _together(makers)  # type: ignore[arg-type]


def _of_variable(name: str, read: Callable[[Any], Any]) -> Make:
    def made(variables: Mapping[str, Any]) -> Any:
        value = variables.get(name, ABSENT)
        return value if value is None or value is ABSENT else read(value)

    return made


def _together(makers: list[Make]) -> Make:
    def made(variables: Mapping[str, Any]) -> Any:
        values = tuple([make(variables) for make in makers])
        return Undefined if Undefined in values else values

    return made
