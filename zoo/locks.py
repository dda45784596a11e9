"""One process at a time writes to an output. Another one is told who does."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil

from zoo.errors import UserError
from zoo.files import cannot_write, parent_folder, real_place

# Seconds to wait for a process that is just done.
PATIENCE = 0.5
# What the disk of an output may say, but not a file that is read.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.EIO)
# A message shows at most so many characters of a command.
LONGEST = 150


@contextlib.contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Keeps other processes from writing to an output meanwhile, and threads of this one too.

    A hidden file beside the output says who writes. The lock is the operating system's, so it ends with the process
    however that ends, and a file that is left behind locks nothing.

    Args:
        out: The folder or file that is written. The folders above it are made.

    Yields:
        Where the output really is, which is another place if `out` is a link.

    Raises:
        UserError: If another process writes to it. The message names that process. Also if the output is a link to
            nothing, or its disk cannot be written, now or later.
    """
    # It takes long to import, and commands that write nothing do without it.
    from filelock import FileLock, Timeout

    place = real_place(out)
    path = place.with_name(f".{place.name}-lock")
    with parent_folder(place):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=PATIENCE)
            path.write_text(_holder(), encoding="utf-8")
        except Timeout:
            raise UserError(
                f"{out}: {_read_holder(path)} writes to it. Wait until that is done, or choose another output."
            ) from None
        except OSError as error:
            lock.release()
            raise cannot_write(out, error) from error
        try:
            yield place
        except OSError as error:
            # Others are of files that are read.
            if error.errno not in UNWRITABLE:
                raise
            raise cannot_write(out, error) from error
        finally:
            # Where the system does not remove an open file, it stays and does no harm.
            with contextlib.suppress(OSError):
                path.unlink()
            lock.release()


def _holder() -> str:
    """This process in words: number, command and the present time."""
    command = textwrap.shorten(shlex.join(psutil.Process().cmdline()), LONGEST)
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} ({command}), since {now},"


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except (OSError, UnicodeDecodeError):  # Windows lets nobody read a file that is locked.
        return "another process"
