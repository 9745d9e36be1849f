"""GraphQL inputs made from the domain's command records, so that no field of a request is listed twice.

A record `PostCreditMemo` becomes the input `PostCreditMemoInput`; what Strawberry hands to a resolver is turned back
into the record. A field's `Doc` is its description.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import strawberry
from strawberry.types.field import StrawberryField

from cm_graphql.api.uploads import Upload
from cm_graphql.domain.commands import base
from cm_graphql.engine.declare import NAMES, typed
from cm_graphql.engine.errors import BadUserInput
from cm_graphql.engine.ids import id_of
from cm_graphql.engine.scalars import Json

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


def _value_reader(name: str, hint: Any) -> Callable[[Any], Any]:
    if _is_union(hint):
        (hint,) = (member for member in get_args(hint) if member not in (type(None), base.Unset))
    if get_origin(hint) is tuple:
        inner = _value_reader(name, get_args(hint)[0])
        return lambda values: tuple(inner(value) for value in values)
    if dataclasses.is_dataclass(hint) and hint is not base.UploadedFile:
        return lambda value: _reader(hint)(value)  # type: ignore[arg-type]
    if name in ID_FIELDS:
        prefixes = ID_FIELDS[name]
        return lambda value: id_of(str(value), *prefixes)
    if hint is str or hint is base.Key:
        return _text
    if hint is base.Json or get_origin(hint) is _MAPPING:
        return _object
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: hint(value)
    return lambda value: value


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
