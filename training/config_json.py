"""Frozen dataclasses to JSON and back, strictly: unknown keys, missing ones and unfit values are refused by name."""

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass (nested) as JSON values; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"configuration: expected dataclasses and JSON values, found {type(value).__name__}")


def from_json(kind: type[T], content: Any) -> T:
    """Builds the dataclass `kind` from what `to_json` gave. Unions of dataclasses are told apart by their
    keys and `kind`. Raises ValueError naming the field whose key or value does not fit."""
    built: T = _build(kind, content, kind.__name__)
    return built


def _build(kind: Any, content: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(typing.get_args(kind), content, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(content, dict):
            raise ValueError(f"{where}: expected an object, found {type(content).__name__}")
        hints = typing.get_type_hints(kind)
        names = {field.name for field in dataclasses.fields(kind)}
        unknown, missing = sorted(set(content) - names), sorted(_required(kind) - set(content))
        if unknown or missing:
            raise ValueError(f"{where}: expected keys {sorted(names)}, found unknown {unknown}, missing {missing}")
        values = {name: _build(hints[name], value, f"{where}.{name}") for name, value in content.items()}
        return kind(**values)  # type: ignore[operator]
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), content, where)
    if origin is typing.Literal:
        options = typing.get_args(kind)
        if not any(type(content) is type(option) and content == option for option in options):
            raise ValueError(f"{where}: expected one of {', '.join(map(repr, options))}, found {content!r}")
        return content
    fitting = (int, float) if kind is float else kind
    if not isinstance(content, fitting) or (isinstance(content, bool) and kind is not bool):
        raise ValueError(f"{where}: expected {kind.__name__}, found {content!r}")
    return float(content) if kind is float else content


def _build_tuple(arguments: tuple[Any, ...], content: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(content, (list, tuple)):
        raise ValueError(f"{where}: expected a list, found {type(content).__name__}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = arguments[:1] * len(content)
    if len(arguments) != len(content):
        raise ValueError(f"{where}: expected {len(arguments)} entries, found {len(content)}")
    return tuple(_build(argument, entry, where) for argument, entry in zip(arguments, content, strict=True))


def _build_union(options: tuple[Any, ...], content: Any, where: str) -> Any:
    if content is None and type(None) in options:
        return None
    candidates = [option for option in options if option is not type(None)]
    if len(candidates) > 1 and isinstance(content, dict):
        keys = set(content)
        of_kind = [
            option
            for option in candidates
            if dataclasses.is_dataclass(option) and content.get("kind", None) == _default(option, "kind")
        ]
        fitting = [option for option in of_kind if keys == {field.name for field in dataclasses.fields(option)}]
        if not fitting:  # fields that were added since have their defaults
            fitting = [
                option
                for option in of_kind
                if _required(option) <= keys <= {field.name for field in dataclasses.fields(option)}
            ]
        if len(fitting) != 1:
            raise ValueError(f"{where}: expected one of {[o.__name__ for o in candidates]}, found keys {sorted(keys)}")
        candidates = fitting
    return _build(candidates[0], content, where)


def _required(kind: Any) -> set[str]:
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    return {field.name for field in fields if field.default is missing and field.default_factory is missing}


def _default(kind: Any, name: str) -> Any:
    return next((field.default for field in dataclasses.fields(kind) if field.name == name), None)
