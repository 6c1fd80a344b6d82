"""What only some systems can do: Linux's own calls, and those that Windows lacks.

Nothing else in the package names them. Each function tells its caller when the system
cannot do it, and the caller does without.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

# The errors of systems that cannot link or copy by themselves, or not between two places.
UNSUPPORTED = {
    *(errno.EAGAIN, errno.EBADF, errno.EINVAL, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP),
    *(errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV),
}
IS_WINDOWS = sys.platform == "win32"
# Windows changes the ends of lines, unless it is told not to.
BINARY: int = getattr(os, "O_BINARY", 0)
_FICLONE = 0x40049409  # of Linux; other systems refuse it
_LOCKS = "/proc/locks"
_OPEN_FILES = "/proc/self/fd"
_LONG_PATHS = r"SYSTEM\CurrentControlSet\Control\FileSystem"


def find_longest_path() -> int:
    """How long an absolute path can be: in bytes, on Windows in UTF-16 units."""
    if sys.platform == "win32":
        import winreg

        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _LONG_PATHS) as key:
            if winreg.QueryValueEx(key, "LongPathsEnabled")[0]:
                return 32_766
        return 259
    return 1023 if sys.platform == "darwin" else 4095


def is_locked(inode: int) -> bool:
    """Does a process hold a lock on a whole file? False as well if the system does not say."""
    try:
        with open(_LOCKS, "rb") as file:
            return any(b":%d " % inode in line and b"FLOCK" in line for line in file)
    except OSError:
        return False


def try_lock(file: int) -> bool | None:
    """Lock an open file until it is closed; False if it is locked, None if it cannot be."""
    if sys.platform == "win32":
        return None
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a file system without locks
        return None
    return True


def read_into(file: int, view: memoryview) -> int:
    """Read the next bytes of an open file into memory; their number, 0 at the end."""
    if sys.platform != "win32" and hasattr(os, "readv"):
        return os.readv(file, (view,))
    data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


def reflink(old: int, new: int) -> bool:
    """Let a new, empty, open file share an open file's bytes until one of them is written to.

    False if the system cannot do that, or not between these two places.
    """
    if sys.platform == "win32":
        return False
    try:
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
    except ImportError:
        return False
    except OSError as err:
        if err.errno in UNSUPPORTED:
            return False
        raise
    return True


def copy_range(old: int, new: int, size: int) -> bool:
    """Copy the bytes of an open file into a new one; False if the system cannot do that."""
    if not hasattr(os, "copy_file_range"):
        return False
    while size > 0:
        try:
            count = os.copy_file_range(old, new, size)
        except OSError as err:
            if err.errno in UNSUPPORTED:
                return False
            raise
        if not count:
            return False
        size -= count
    return True


def count_blocks(info: os.stat_result) -> int:
    """The bytes that a file takes on a disk, without its holes."""
    return min(info.st_size, getattr(info, "st_blocks", info.st_size) * 512)


def create_unnamed(folder: str, mode: int) -> int | None:
    """Create a file without a name, open for writing; None if the system cannot do that."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE, mode)
    except OSError:
        return None


def name_file(file: int, path: str) -> None:
    """Give a file without a name its absolute path; an OSError if that is taken."""
    # Python follows this link only if it gets a folder's descriptor as well. Which
    # one does not matter, since the path is absolute.
    os.link(f"{_OPEN_FILES}/{file}", path, src_dir_fd=file, follow_symlinks=True)


def end_session(process: subprocess.Popen[bytes], grace: float) -> None:
    """End a process that leads a session, and all that it started; ask before killing.

    Each kind of request has `grace` seconds. Windows has no sessions: the process alone ends.
    """
    if sys.platform == "win32":
        process.kill()
        process.wait()
        return
    import signal
    import subprocess

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(grace)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
