"""Values behave like frozen dataclasses, however they are built."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from titan.values import value


@value
class Point:
    """A value with a default of each kind."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Standard:
    """The same with the standard constructor."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


def test_positions_keywords_and_defaults_are_those_of_a_dataclass() -> None:
    for point in (Point(1), Point(x=1), Point(1, 2, []), Point(1, y=2, names=[])):
        assert point == Point(1, 2, [])
    assert Point(1).names is not Point(1).names
    assert repr(Point(1)) == repr(Standard(1)).replace("Standard", "Point")
    assert [each.name for each in fields(Point)] == ["x", "y", "names"]


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}])
def test_wrong_arguments_are_a_type_error(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="argument"):
        Point(**arguments)  # type: ignore[arg-type]  # that is the test


def test_a_value_can_not_be_changed_once_it_is_made() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]  # that is the test
    with pytest.raises(FrozenInstanceError):
        del point.x
    with pytest.raises((AttributeError, TypeError)):
        point.z = 3  # type: ignore[attr-defined]  # that is the test
    assert point == Point(1)


def test_replace_copy_and_pickle_make_values_again() -> None:
    changed = replace(Point(1), y=5)
    assert (changed.x, changed.y, type(changed)) == (1, 5, Point)
    assert pickle.loads(pickle.dumps(changed)) == changed
    assert copy.deepcopy(changed) == changed


def test_equal_values_have_equal_hashes() -> None:
    @value
    class Pair:
        a: int
        b: str

    assert hash(Pair(1, "x")) == hash(Pair(1, "x"))
    assert {Pair(1, "x"), Pair(1, "x"), Pair(2, "x")} == {Pair(1, "x"), Pair(2, "x")}


def test_what_it_does_not_support_is_refused() -> None:
    with pytest.raises(TypeError, match="neither __post_init__ nor a base class"):

        @value
        class Checked:
            a: int

            def __post_init__(self) -> None: ...

    with pytest.raises(TypeError, match="neither __post_init__ nor a base class"):

        @value
        class Derived(Standard):
            z: int = 3
