"""YAML parsed according to the types of the fields that it sets.

YAML converts ``1``, ``no``, ``2020-01-01`` and ``null`` to a number, a Boolean, a date and None,
but each of these may be the name of a class. Every scalar is therefore kept as a string, and
pydantic converts it where the field is a number or a Boolean.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

_YAML_TAG = "tag:yaml.org,2002:"
_NULL = f"{_YAML_TAG}null"
_QUOTES = ("'", '"')


def compose(text: str) -> yaml.Node | None:
    """Return the root node of a document, or None if it is empty.

    Raises
    ------
    yaml.YAMLError
        If the text is not YAML, is nested too deeply, or has a list or mapping that contains
        itself.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _check(node, ())
    except RecursionError:
        raise yaml.YAMLError("lists and mappings are nested too deeply") from None
    return node


def read(node: yaml.Node, annotation: Any) -> Any:
    """Return the content of ``node`` for a field of type ``annotation``.

    Scalars remain strings as written. An unquoted ``null`` is None if the field may be None.
    If the field accepts any type, YAML's own types apply.
    """
    types = _alternatives(annotation)
    if Any in types:
        return yaml.SafeLoader("").construct_document(node)
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == _NULL and NoneType in types else node.value
    if isinstance(node, yaml.SequenceNode):
        items = next((get_args(one)[0] for one in types if get_origin(one) in (tuple, list)), str)
        return [read(item, items) for item in node.value]
    yaml.SafeLoader("").flatten_mapping(node)
    return {key.value: read(value, _field(types, key.value)) for key, value in node.value}


def read_text(text: str, annotation: Any) -> Any:
    """Return the value of a command-line ``text`` for a field of type ``annotation``.

    A field that accepts only strings receives ``text`` as typed, without YAML quotes around the
    whole of it.

    Raises
    ------
    yaml.YAMLError
        If the field accepts more than strings, and ``text`` is not YAML.
    """
    types = _alternatives(annotation)
    if all(one in (str, NoneType) or get_origin(one) is Literal for one in types):
        return _plain_text(text, optional=NoneType in types)
    node = compose(text)
    return None if node is None else read(node, annotation)


def field_type(model: type[BaseModel], keys: list[str]) -> Any:
    """Return the type of the field at ``keys`` below ``model``, or Any if there is none."""
    annotation: Any = model
    for key in keys:
        annotation = _field(_alternatives(annotation), key)
    return annotation


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models that a field of type ``annotation`` accepts."""
    return [
        one
        for one in _alternatives(annotation)
        if isinstance(one, type) and issubclass(one, BaseModel)
    ]


def _plain_text(text: str, *, optional: bool) -> str | None:
    try:
        node = compose(text)
    except yaml.YAMLError:
        return text
    if node is None or node.tag == _NULL:
        return None if optional else text
    # Only a comment can follow a quoted string.
    quoted = isinstance(node, yaml.ScalarNode) and node.style in _QUOTES
    return node.value if quoted and text.endswith(_QUOTES) else text


def _alternatives(annotation: Any) -> list[Any]:
    """Return the members of a union, or the type itself if it is not a union."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [one for part in get_args(annotation) for one in _alternatives(part)]
    return [annotation]


def _field(types: list[Any], key: str) -> Any:
    for one in types:
        if isinstance(one, type) and issubclass(one, BaseModel) and key in one.model_fields:
            return one.model_fields[key].annotation
        if get_origin(one) is dict:
            return get_args(one)[1]
    return Any


def _check(node: yaml.Node | None, above: tuple[yaml.Node, ...]) -> None:
    if node is None:
        return
    if any(node is one for one in above):
        raise yaml.YAMLError(f"the alias{_place(node)} refers to a list or mapping around it")
    if not node.tag.startswith(_YAML_TAG):
        raise yaml.YAMLError(f"the tag {node.tag}{_place(node)} is unknown")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item, (*above, node))
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key{_place(key)} is not a string")
            if key.value in keys:
                raise yaml.YAMLError(f"the key '{key.value}'{_place(key)} is given twice")
            keys.add(key.value)
            _check(value, (*above, node))


def _place(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"
