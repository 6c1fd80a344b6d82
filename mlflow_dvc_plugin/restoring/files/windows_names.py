"""Names that Windows cannot give to a file, or takes for something else."""

from __future__ import annotations

_RESERVED = {
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
    *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"),
}
_CHARACTERS = '<>:"|?*\\'  # a colon follows a drive, or a file's name before a hidden stream


def find_fault(path: str) -> str:
    """Find out why Windows cannot have a file at a relative POSIX path; empty if it can."""
    for name in path.split("/"):
        found = [char for char in name if char in _CHARACTERS or char < " "]
        if found:
            return f"Windows does not allow {found[0]!a} in a name"
        if name[-1:] in (" ", "."):
            return f"Windows removes the {name[-1]!a} at the end of {name!a}"
        if name.partition(".")[0].rstrip(" ").upper() in _RESERVED:
            return f"Windows reserves the name {name!a} for a device"
    return ""
