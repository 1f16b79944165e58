"""Immutable values that are made on the order's path.

`value` is `dataclass(frozen=True, slots=True)` with a quicker constructor: the standard one pays a guarded call for each
field (2.7 us for an order of 27 fields), this one stores them plainly (0.7 us).
Guarantees: once made, a value refuses assignment and deletion like every frozen dataclass; `replace`, `fields`, equality,
hash and `repr` are the standard ones. Never: `__post_init__`, inheritance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(Field, field))
def value(cls: type[C]) -> type[C]:
    """Makes a frozen, slotted dataclass whose instances are built quickly. Raises TypeError for what it does not support."""
    made = dataclass(frozen=True, slots=True)(cls)
    if hasattr(made, "__post_init__") or made.__mro__[1:] != (object,):
        raise TypeError(f"{cls.__name__}: a value has neither __post_init__ nor a base class")
    made.__init__ = _initializer(made)  # type: ignore[method-assign]  # the standard one, made quicker
    return made


def _initializer(made: type[Any]) -> Callable[..., None]:
    """An `__init__` that fills a twin of the same layout, which lets itself be filled, and then becomes the value."""
    names = [each.name for each in fields(made)]
    twin = type(f"_{made.__name__}BeingMade", (), {"__slots__": tuple(names)})
    scope: dict[str, Any] = {"_twin": twin, "_made": made, "_missing": MISSING, "_set": object.__setattr__}
    parameters, lines = ["self"], ["_set(self, '__class__', _twin)"]
    for each in fields(made):
        default = ""
        if each.default is not MISSING:
            scope[f"_default_{each.name}"] = each.default
            default = f" = _default_{each.name}"
        elif each.default_factory is not MISSING:
            scope[f"_make_{each.name}"] = each.default_factory
            default = " = _missing"
            lines.append(f"if {each.name} is _missing: {each.name} = _make_{each.name}()")
        parameters.append(f"{each.name}{default}")
        lines.append(f"self.{each.name} = {each.name}")
    lines.append("self.__class__ = _made")
    source = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(lines)
    exec(compile(source, f"<value {made.__name__}>", "exec"), scope)
    made_init: Callable[..., None] = scope["__init__"]
    made_init.__qualname__ = f"{made.__qualname__}.__init__"
    made_init.__module__ = made.__module__
    made_init.__annotations__ = made.__init__.__annotations__
    return made_init
