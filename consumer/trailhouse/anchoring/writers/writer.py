"""What a place that keeps anchors must do: take each number once, and give back what it has."""

from typing import Protocol

NUMBERS_A_FOLDER = 10_000
SUFFIX = ".anchor"


class AnchorWriter(Protocol):
    """A place that keeps anchors. Each call waits a bounded time; one thread at a time calls.

    Attributes:
        name: It as the settings name it, such as ``folder:/srv/anchors``.
        kind: ``folder``, ``git``, ``kafka`` or ``s3``.
    """

    name: str
    kind: str

    def write(self, number: int, content: bytes) -> bytes:
        """Keep *content* as the anchor of *number*, unless there is one already: that is never replaced.

        Returns:
            What is kept there now, durably: *content*, or what was there before.

        Raises:
            AnchorError: It is away or refuses. Retriable; whether it was kept is unknown, so write the same again.
        """
        ...

    def read(self, number: int) -> bytes | None:
        """Return the anchor of *number*, None where there is none.

        Raises:
            AnchorError: It is away or refuses. Retriable.
        """
        ...

    def fault(self, number: int) -> str:
        """Return why the anchor of *number*, as it was read, is not protected as the place promises; else ""."""
        ...

    def newest(self) -> int:
        """Return the largest number that is kept, 0 where there is none.

        Raises:
            AnchorError: It is away or refuses. Retriable.
        """
        ...


def folder_of(number: int) -> str:
    """Return the folder in which the anchor of *number* is kept, so that none holds too many."""
    return f"{number // NUMBERS_A_FOLDER:08d}"


def file_of(number: int) -> str:
    """Return the name of the file of the anchor of *number*."""
    return f"{number:012d}{SUFFIX}"


def path_of(number: int) -> str:
    """Return where the anchor of *number* is kept, from the top."""
    return f"{folder_of(number)}/{file_of(number)}"


def number_of(file: str) -> int | None:
    """Return the number of the anchor that is kept under the name *file*, None where it is none of ours."""
    digits = file.removesuffix(SUFFIX)
    if not file.endswith(SUFFIX) or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits) if file == file_of(int(digits)) else None
