"""What stands in a form: the kinds of values, and `Form`, a mapping with its shorthand (pydantic)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)

from csflow.flow.names import LANGUAGE
from csflow.flow.reading import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_TRUTHS = dict.fromkeys(("true", "yes", "on", "y"), "true") | dict.fromkeys(("false", "no", "off", "n"), "false")


def kind_of(value: Any) -> str:
    """What a value is, in words of the language."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _checked(check: Callable[[Any], bool], wanted: str) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if not check(value):
            raise ValueError(f"expected {wanted}, found {kind_of(value)}")
        return value

    return validate


def _is_label(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, dict)
        and bool(value)
        and all(LANGUAGE.match(key) and isinstance(text, str) for key, text in value.items())
    )


def _label(value: Any) -> Any:
    if not _is_label(value):
        hint = (
            ": a text that begins with a brace is written in quotes" if value == {} else ""
        )  # `{a.b}` is `{a.b: null}`
        raise ValueError(f"expected a text or one text for each language, found {kind_of(value)}{hint}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _truth(value: Any) -> bool:
    """True or false; quoted, or a word that some readers take for it, it is text, and the word to write is told."""
    if isinstance(value, bool):
        return value
    word = _TRUTHS.get(value.lower()) if isinstance(value, str) else None
    hint = f" '{value}': write {word} without quotes" if word else ""
    raise ValueError(f"expected true or false, found {kind_of(value)}{hint}")


def _own(check: Callable[[Any], bool], wanted: str, schema: dict[str, Any]) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(_checked(check, wanted)), WithJsonSchema(schema)


_TEXT = {"type": "string"}
_SCALAR = {"type": ["string", "number", "boolean"]}
_LABEL = {"anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}]}
Text = Annotated[str, *_own(lambda v: isinstance(v, str), "text", _TEXT)]
Word = Annotated[
    str,
    *_own(lambda v: isinstance(v, (str, int)) and not isinstance(v, bool), "a word", {"type": ["string", "integer"]}),
]
Scalar = Annotated[Any, *_own(lambda v: isinstance(v, (str, int, float)), "one value", _SCALAR)]
Number = Annotated[float, *_own(_is_number, "a number", {"type": "number"})]
Yes = Annotated[bool, PlainValidator(_truth), WithJsonSchema({"type": "boolean"})]
Label = Annotated[Any, PlainValidator(_label), WithJsonSchema(_LABEL)]
Guard = Annotated[Any, *_own(lambda v: isinstance(v, (str, bool)), "a condition", {"type": ["string", "boolean"]})]
Expr = Scalar
Anything = Annotated[Any, WithJsonSchema({})]
DueText = Annotated[
    str, *_own(lambda v: isinstance(v, str), "a length or a date to count from, such as '3 days'", _TEXT)
]
Length = Annotated[str, *_own(lambda v: isinstance(v, str), "a length such as '14 days'", _TEXT)]


def listed_alone(value: Any) -> Any:
    """What stands alone as a list of one."""
    return value if isinstance(value, list) else [value]


class OneOrMany:
    """In the JSON Schema: one of them may stand for a list of one."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {"anyOf": [schema["items"], schema]}


Words = Annotated[
    list[Word],
    BeforeValidator(listed_alone),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "integer"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}
    ),
]


class Form(BaseModel):
    """A mapping of the language; ``shorthand`` is the key that a scalar in its place stands for."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, strict=True)
    shorthand: ClassVar[str | None] = None
    list_shorthand: ClassVar[str | None] = None

    @classmethod
    def expand(cls, item: Item) -> Item:
        """The item with this form's shorthand written out; the places stay those of the scalar."""
        key = cls.list_shorthand if isinstance(item.value, list) else cls.shorthand
        if key is None or item.value is None or isinstance(item.value, dict):
            return item
        return wrapped(item, key)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        inner = handler.resolve_ref_schema(schema)
        inner.pop("title", None)
        for short in (cls.shorthand, cls.list_shorthand):
            if short is not None and "properties" in inner:
                value = dict(inner["properties"].get(short) or {})
                schema = {"anyOf": [value, *(schema.get("anyOf") or [schema])]}
        return schema


def wrapped(item: Item, key: str) -> Item:
    """A mapping with the item under its one key, in the item's place."""
    inner = Item(item.value, item.file, item.line, item.column, 0, 0, item.text, item.spans)
    return Item({key: inner}, item.file, item.line, item.column, item.key_line, item.key_column)


def one_of(form: Form, ways: Mapping[str, tuple[str, ...]], sentence: str) -> None:
    """Exactly one of the ways is there; a way is there when any of its keys is."""
    given = [way for way, keys in ways.items() if any(getattr(form, key) is not None for key in keys)]
    if len(given) != 1:
        raise ValueError(sentence.format(all=", ".join(ways)) + (", ".join(given) or "none"))
