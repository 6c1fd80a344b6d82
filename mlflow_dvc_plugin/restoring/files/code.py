"""Files that programs run, or take their settings from, without being told to."""

from __future__ import annotations

import re

_CODE = re.compile(
    r"\.(py[cdwx]?|pyx|ipynb|pth|so|dylib|dll|exe|com|sh|bash|zsh|fish|csh|ps1|bat|cmd|[cm]?js|ts"
    r"|jar|class|pl|rb|r|jl|lua|mk|cmake)\Z"
    r"|(?:\A|/)(\.[^/]*(/.*)?"
    r"|(gnu)?makefile|justfile|dockerfile|mlproject|pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini"
    r"|package\.json)\Z",
    re.IGNORECASE,
)


def is_code(path: str) -> bool:
    """Tell whether programs run files of this name by themselves, or people do not see it."""
    return _CODE.search(path) is not None
