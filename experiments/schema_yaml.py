"""YAML read by the types of the keys that it gives values to.

YAML makes numbers, truth values, dates and nothing out of ``1``, ``no``, ``2020-01-01`` and
``null``, and a class may be called any of these. So every scalar stays the text that was written;
pydantic reads numbers and truth values out of it where a key wants them.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

_YAML_TAG = "tag:yaml.org,2002:"
_NULL = f"{_YAML_TAG}null"
_QUOTES = ("'", '"')


def compose(text: str) -> yaml.Node | None:
    """Return the node of a document, None for an empty one.

    Raises
    ------
    yaml.YAMLError
        When the text is no YAML, is nested too deeply, or holds a list or mapping within itself.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _check(node, ())
    except RecursionError:
        raise yaml.YAMLError("lists and mappings are nested too deeply") from None
    return node


def read(node: yaml.Node, annotation: Any) -> Any:
    """Return the content of ``node`` for a field of type ``annotation``.

    Texts stay as they were written. An unquoted ``null`` is None where the field may be None.
    Where the field takes anything, YAML's own types count.
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
    """Return what was typed on a command line for a field of type ``annotation``.

    A field that takes nothing but a text gets it as it was typed; quotes of YAML around the whole
    are taken off.

    Raises
    ------
    yaml.YAMLError
        When the field takes more than a text, and ``text`` is no YAML.
    """
    types = _alternatives(annotation)
    if all(one in (str, NoneType) or get_origin(one) is Literal for one in types):
        return _plain_text(text, optional=NoneType in types)
    node = compose(text)
    return None if node is None else read(node, annotation)


def field_type(model: type[BaseModel], keys: list[str]) -> Any:
    """Return the type of the field that ``keys`` lead to from ``model``; Any where none does."""
    annotation: Any = model
    for key in keys:
        annotation = _field(_alternatives(annotation), key)
    return annotation


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field of type ``annotation`` takes."""
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
    # Beside a quoted text nothing can stand but a comment.
    quoted = isinstance(node, yaml.ScalarNode) and node.style in _QUOTES
    return node.value if quoted and text.endswith(_QUOTES) else text


def _alternatives(annotation: Any) -> list[Any]:
    """Return the types of a union; the type itself where it is none."""
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
        raise yaml.YAMLError(f"the alias{_place(node)} stands within what it names")
    if not node.tag.startswith(_YAML_TAG):
        raise yaml.YAMLError(f"the tag {node.tag}{_place(node)} is not known")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item, (*above, node))
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key{_place(key)} is no text")
            if key.value in keys:
                raise yaml.YAMLError(f"the key '{key.value}'{_place(key)} stands there twice")
            keys.add(key.value)
            _check(value, (*above, node))


def _place(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"
