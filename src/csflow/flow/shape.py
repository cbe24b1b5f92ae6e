"""The form of a tree: shorthands written out, forms checked, the JSON Schema that editors complete from.

Names, types and expressions are checked later (`building`). Imported only when YAML is really read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from csflow.flow.form_kinds import Form, kind_of
from csflow.flow.forms import FlowForm, MergedForm, ProjectForm, Sections
from csflow.flow.names import nearest
from csflow.flow.reading import Item

if TYPE_CHECKING:
    from collections.abc import Iterator


def _inner(annotation: Any) -> Any:
    """The annotation without ``| None``, ``Annotated`` and the list beside a single form."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin is Union or type(annotation).__name__ == "UnionType":
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation


def keys_of(form: type[Form]) -> dict[str, Any]:
    """The keys of a form with what may stand there."""
    return {info.alias or name: info.annotation for name, info in form.model_fields.items()}


def expand(item: Item, annotation: Any, *, lists: bool = False) -> Item:
    """The item with every shorthand below it written out, as the form says; what does not fit stays as it is.

    ``lists``: one transition or opening becomes a list of one as well – only after merging, since lists do not merge.
    """
    shape = _inner(annotation)
    if isinstance(shape, type) and issubclass(shape, Form):
        item = shape.expand(item)
        if isinstance(item.value, dict):
            kinds = keys_of(shape)
            item.value = {k: expand(v, kinds[k], lists=lists) if k in kinds else v for k, v in item.value.items()}
    elif get_origin(shape) is dict and isinstance(item.value, dict):
        inner = get_args(shape)[1]
        item.value = {key: expand(child, inner, lists=lists) for key, child in item.value.items()}
    elif get_origin(shape) is list:
        return _expand_list(item, get_args(shape)[0], lists=lists)
    return item


def _expand_list(item: Item, inner: Any, *, lists: bool) -> Item:
    if isinstance(item.value, list):
        item.value = [expand(child, inner, lists=lists) for child in item.value]
        return item
    is_form = isinstance(_inner(inner), type) and issubclass(_inner(inner), Form)
    if item.value is None or (not is_form and isinstance(item.value, dict)):
        return item
    alone = expand(item, inner, lists=lists)
    if is_form and not lists:
        return alone
    one = Item(alone.value, item.file, item.line, item.column, 0, 0, item.text, item.spans)
    return Item([one], item.file, item.line, item.column, item.key_line, item.key_column)


Path = tuple[str | int, ...]
_LIMITS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


def problems(tree: dict[str, Any], form: type[Form] = MergedForm) -> Iterator[tuple[Path, str, bool]]:
    """What is wrong with the form of a plain, expanded tree: path, message, whether the key itself is meant."""
    try:
        form.model_validate(tree)
    except ValidationError as error:
        seen = set()
        for detail in error.errors(include_url=False, include_context=True, include_input=True):
            found = _problem(detail, form)
            if found[:2] not in seen:
                seen.add(found[:2])
                yield found


def _problem(detail: Any, form: type[Form]) -> tuple[Path, str, bool]:
    path: Path = tuple(step for step in detail["loc"] if step != "[key]")
    kind = detail["type"]
    if kind == "extra_forbidden":
        near = nearest(str(path[-1]), keys_of(_form_at(form, path[:-1])))
        return path, f"unknown key '{path[-1]}'{near}", True
    if kind == "value_error":
        return path, str(detail["ctx"]["error"]), False
    if kind == "missing":
        return path[:-1], f"'{path[-1]}:' is missing", False
    if path == ("csflow",) and kind == "literal_error":
        hint = ": write it without quotes" if detail["input"] == "1" else ""
        return path, f"csflow: is the version of the language, which is 1; found '{detail['input']}'{hint}", False
    if kind in _LIMITS:
        word, limit = _LIMITS[kind]
        return path, f"a whole number, {word} {detail['ctx'][limit]}, is needed here; found {detail['input']}", False
    if kind == "int_type":
        given = detail["input"]
        return path, f"expected a whole number, found {given if isinstance(given, float) else kind_of(given)}", False
    if kind == "literal_error":
        wanted = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        near = nearest(str(detail["input"]), wanted.split(", "))
        return path, f"'{detail['input']}' is none of {wanted}{near}", detail["loc"][-1] == "[key]"
    wanted = {"dict_type": "a mapping", "list_type": "a list"}.get(
        kind, "a mapping" if kind.startswith("model_") else ""
    )
    message = f"expected {wanted}, found {kind_of(detail['input'])}" if wanted else str(detail["msg"])
    return path, message, False


def _form_at(form: type[Form], path: Path) -> type[Form]:
    shape: Any = form
    for step in path:
        shape = _inner(shape)
        if isinstance(shape, type) and issubclass(shape, Form):
            if isinstance(step, str):
                shape = keys_of(shape)[step]
        elif get_origin(shape) in {dict, list}:
            shape = get_args(shape)[-1]
    shape = _inner(shape)
    return shape if isinstance(shape, type) and issubclass(shape, Form) else Form


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one csflow file: a project, a flow or sections.

    It describes a single file, which may change what it extends: so any entry may be null, and keys that only the
    merged whole must have are not required.
    """
    definitions: dict[str, Any] = {}
    for name, form in (("flow", FlowForm), ("project", ProjectForm), ("sections", Sections)):
        schema = form.model_json_schema()
        definitions |= schema.pop("$defs", {})
        definitions[name] = schema
    for schema in definitions.values():
        _as_overlay(schema)
    definitions["flow"]["required"], definitions["project"]["required"] = ["flow"], ["csflow", "name"]
    branch = {"if": {"required": ["csflow"]}, "then": {"$ref": "#/$defs/project"}, "else": {"$ref": "#/$defs/sections"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "csflow",
        "if": {"required": ["flow"]},
        "then": {"$ref": "#/$defs/flow"},
        "else": branch,
        "$defs": definitions,
    }


def _as_overlay(schema: Any) -> None:
    """Drop what is required and allow null for every entry of a mapping, all the way down."""
    if isinstance(schema, list):
        for part in schema:
            _as_overlay(part)
    if not isinstance(schema, dict):
        return
    for part in schema.values():
        _as_overlay(part)
    if isinstance(schema.get("required"), list):
        del schema["required"]
    entry = schema.get("additionalProperties")
    if isinstance(entry, dict):
        schema["additionalProperties"] = {"anyOf": [entry, {"type": "null"}]}
