"""Named tuples that are quick to define.

The first run of a process defines sixteen. ``typing.NamedTuple`` compiles the annotation of each
field and a constructor for each class, which is a tenth of all that the plugin does then. These
are the same in all but speed: to define one is ten times faster, keywords take longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from operator import itemgetter

    class _Record(tuple):
        """What all named tuples share; see :func:`collections.namedtuple`."""

        __slots__ = ()

        def __new__(cls, *values, **named):
            if named or len(values) != len(cls._fields):
                values = _complete(cls, values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(made)}")
            return made

        def _replace(self, **named):
            replaced = self._make(map(named.pop, self._fields, self))
            if named:
                raise TypeError(f"{type(self).__name__} has no fields {sorted(named)}")
            return replaced

        __replace__ = _replace  # for `copy.replace`, from Python 3.13 on

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            values = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({values})"

        def __getnewargs__(self):
            return tuple(self)

    def _complete(cls, values, named):
        """All values, in the order of the fields."""
        rest = cls._fields[len(values) :]
        unknown = named.keys() - set(rest)
        named = {**cls._field_defaults, **named}
        missing = [name for name in rest if name not in named]
        if len(values) > len(cls._fields) or unknown or missing:
            text = f"unknown or given twice: {sorted(unknown)}, missing: {missing}"
            raise TypeError(f"{cls.__name__} has the fields {cls._fields}; {text}")
        return (*values, *[named[name] for name in rest])

    class _Definition(type):
        """Turns the definition of a class into one of named tuples."""

        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = tuple(namespace["__annotations__"])
            defaults = {field: namespace[field] for field in fields if field in namespace}
            getters = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
            names = {"_fields": fields, "__match_args__": fields, "_field_defaults": defaults}
            return type(name, (_Record,), {**namespace, **getters, **names, "__slots__": ()})

    class NamedTuple(metaclass=_Definition):
        """The base of a definition, as ``typing.NamedTuple``."""
