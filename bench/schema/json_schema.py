"""The subset of JSON Schema (draft 2020-12) that results.schema.json uses, without a package for it."""

from __future__ import annotations

import re
from typing import Any, Callable

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_ANNOTATIONS = {"$schema", "$defs", "title", "description"}


def errors(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value, each as "place: what was expected"; nothing when it is valid.

    Raises ValueError for a keyword of the schema that this module does not know.
    """
    return list(_Checker(schema).check(value, schema, "$"))


class _Checker:
    def __init__(self, root: dict[str, Any]):
        self._root = root

    def check(self, value: Any, schema: dict[str, Any], place: str) -> list[str]:
        found: list[str] = []
        for keyword, argument in schema.items():
            if keyword in _ANNOTATIONS:
                continue
            rule = getattr(self, "_" + keyword.lstrip("$"), None)
            if rule is None:
                raise ValueError(f"unknown keyword {keyword!r} at {place}")
            found += rule(value, argument, place, schema)
        return found

    def _ref(self, value, pointer, place, _schema):
        target = self._root
        for key in pointer.removeprefix("#/").split("/"):
            target = target[key]
        return self.check(value, target, place)

    def _type(self, value, names, place, _schema):
        names = [names] if isinstance(names, str) else names
        if any(_TYPES[name](value) for name in names):
            return []
        return [f"{place}: expected {' or '.join(names)}, got {_shown(value)}"]

    def _const(self, value, constant, place, _schema):
        return [] if value == constant else [f"{place}: expected {constant!r}, got {_shown(value)}"]

    def _enum(self, value, choices, place, _schema):
        return [] if value in choices else [f"{place}: expected one of {choices}, got {_shown(value)}"]

    def _anyOf(self, value, schemas, place, _schema):
        tries = [self.check(value, schema, place) for schema in schemas]
        return [] if not all(tries) else min(tries, key=len)

    def _required(self, value, names, place, _schema):
        if not isinstance(value, dict):
            return []
        return [f"{place}: {name} is missing" for name in names if name not in value]

    def _properties(self, value, properties, place, _schema):
        found = []
        for name, schema in properties.items():
            if isinstance(value, dict) and name in value:
                found += self.check(value[name], schema, f"{place}.{name}")
        return found

    def _additionalProperties(self, value, rule, place, schema):
        if not isinstance(value, dict):
            return []
        others = [name for name in value if name not in schema.get("properties", {})]
        if rule is False:
            return [f"{place}: {name} is unknown" for name in others]
        return [error for name in others for error in self.check(value[name], rule, f"{place}.{name}")]

    def _items(self, value, schema, place, _schema):
        if not isinstance(value, list):
            return []
        return [error for i, item in enumerate(value) for error in self.check(item, schema, f"{place}[{i}]")]

    def _minimum(self, value, least, place, _schema):
        bad = _TYPES["number"](value) and not value >= least
        return [f"{place}: expected at least {least}, got {_shown(value)}"] if bad else []

    def _exclusiveMinimum(self, value, bound, place, _schema):
        bad = _TYPES["number"](value) and not value > bound
        return [f"{place}: expected more than {bound}, got {_shown(value)}"] if bad else []

    def _minLength(self, value, least, place, _schema):
        bad = isinstance(value, str) and len(value) < least
        return [f"{place}: expected at least {least} characters"] if bad else []

    def _pattern(self, value, pattern, place, _schema):
        bad = isinstance(value, str) and re.search(pattern, value) is None
        return [f"{place}: expected {pattern}, got {_shown(value)}"] if bad else []


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
