"""What the results of this package have in common."""

from __future__ import annotations

from typing import Any, ClassVar


class Result:
    """A dataclass that ``--json`` prints, without those fields in `optional` that are empty."""

    optional: ClassVar[tuple[str, ...]] = ("modified", "changed")

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            name: value for name, value in vars(self).items() if value or name not in self.optional
        }
