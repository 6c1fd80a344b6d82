"""Named tuples are what ``typing.NamedTuple`` makes of the same definition."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_dvc_plugin.named_tuple import NamedTuple


class Pair(NamedTuple):
    """Two values."""

    left: int
    right: str | None = "r"
    rest: tuple[int, ...] = ()

    @property
    def both(self) -> str:
        """The two as a text."""
        return f"{self.left}{self.right}"


# The same definition, on purpose: all that the tests compare is what comes of it.
class Model(typing.NamedTuple):
    """Two values."""

    left: int
    right: str | None = "r"
    rest: tuple[int, ...] = ()

    @property
    def both(self) -> str:
        """The two as a text."""
        return f"{self.left}{self.right}"


VALUES = st.lists(st.integers(), max_size=4)
NAMED = st.dictionaries(st.sampled_from(["left", "right", "rest", "other"]), st.integers())


def make(kind: Any, values: list[int], named: dict[str, int]) -> Any:
    try:
        return kind(*values, **named)
    except TypeError:
        return None


@given(VALUES, NAMED)
def test_values_are_taken_by_place_and_by_name(values: list[int], named: dict[str, int]) -> None:
    made, expected = make(Pair, values, named), make(Model, values, named)
    assert made == expected
    if made is not None:
        assert hash(made) == hash(expected)
        assert repr(made) == repr(expected).replace("Model", "Pair")
        assert made._asdict() == expected._asdict()
        assert (made.left, made.right, made.rest, made.both) == (*expected, expected.both)
        assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
        assert type(pickle.loads(pickle.dumps(made))) is type(copy.copy(made)) is Pair


@given(NAMED)
def test_values_are_replaced_by_name(named: dict[str, int]) -> None:
    pair: Any = Pair(1)
    model: Any = Model(1)
    if "other" in named:
        for each in (pair, model):
            with pytest.raises((TypeError, ValueError)):
                each._replace(**named)
    else:
        assert pair._replace(**named) == model._replace(**named)
        assert type(pair._replace(**named)) is Pair
        assert pair.__replace__(**named) == model._replace(**named)


def test_the_class_is_described_alike() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__", "__module__"):
        assert getattr(Pair, name) == getattr(Model, name)
    assert Pair.__qualname__ == "Pair"
    assert Pair.__annotations__ == {
        "left": "int",
        "right": "str | None",
        "rest": "tuple[int, ...]",
    }
    assert Pair._make([1, "a", ()]) == (1, "a", ())
    for kind in (Pair, Model):
        for wrong in ([1], [1, 2, 3, 4]):
            with pytest.raises(TypeError):
                kind._make(wrong)
    with pytest.raises(AttributeError):
        Pair(1).left = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Pair(1).unknown = 2  # type: ignore[attr-defined]
    match Pair(1, "x"):
        case Pair(left, right):
            assert (left, right) == (1, "x")
        case _:
            pytest.fail("a named tuple matches by place")
