"""A terminal for reading what nobody else should: single keys, a screen that leaves nothing behind, an editor."""

from __future__ import annotations

import errno
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import tty
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mergescope.ground.errors import MergescopeError, printable

_OPEN, _CLOSE = "\x1b[?1049h", "\x1b[?1049l"
"""The second screen of a terminal, which has no history to scroll back to."""
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
EDITOR = "vi"
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end a process and would leave what it shows on the screen."""
LOOK_S = 0.5
"""Seconds between two looks for such a signal, while no key comes."""
_HEARD: list[int] = []
"""Such signals that have come. What a handler raises may be lost, in a destructor for one; this stays."""


class Terminal:
    """The terminal that this process stands on. Texts are written so that none can steer it."""

    def __init__(self) -> None:
        """Raises MergescopeError where there is no terminal."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            cure = "run it on one, or use the Review page of `mergescope dashboard`"
            raise MergescopeError("reviewing needs a terminal", cure=cure)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within the block the second screen is shown and keys come one by one; it is cleared however it ends.

        Raises SystemExit within the block for a signal that ends the process, and where the terminal has hung up; a
        signal that would only stop it does nothing.
        """
        before = termios.tcgetattr(sys.stdin)
        with _signals_heard():
            self._write(_OPEN + _CLEAR)
            tty.setcbreak(sys.stdin)
            try:
                yield
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                raise SystemExit(128 + signal.SIGHUP) from None  # the signal that says so may come after the failure
            finally:
                self._leave(before)

    def show(self, lines: Sequence[str]) -> None:
        """Clear the screen and write these lines, as many as there is room for."""
        height = shutil.get_terminal_size().lines
        self._write(_CLEAR + "\r\n".join(map(printable, lines[: height - 1])))

    def key(self) -> str:
        """The next key, q where the input has ended; empty for keys that send more than one character."""
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            _require_alive()
        raw = os.read(sys.stdin.fileno(), 32)
        text = raw.decode("utf-8", "replace")
        return "q" if not raw else text if len(text) == 1 else ""

    def edit(self, text: str) -> str | None:
        """The text as the user's editor left it (VISUAL, EDITOR, else vi); None where the editor failed."""
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR)
        with tempfile.TemporaryDirectory(prefix="review-") as room:
            file = Path(room) / "pair.txt"
            file.write_text(text, encoding="utf-8")
            self._write(_CLEAR)
            try:
                done = subprocess.run([*command, str(file)], check=False)
            except OSError:
                return None
            finally:
                tty.setcbreak(sys.stdin)
                self._write(_OPEN + _CLEAR)  # an editor may have left for the first screen, which keeps what it shows
            return file.read_text(encoding="utf-8", errors="replace") if done.returncode == 0 else None

    def _leave(self, before: list[Any]) -> None:
        """Clear the screen before anything that may wait or fail; before: the terminal's own mode."""
        try:
            self._write(_CLEAR + _CLOSE)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        except (OSError, termios.error) as error:
            if error.args[0] != errno.EIO:  # else the terminal hung up, and what it showed went with it
                raise

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def _signals_heard() -> Iterator[None]:
    """Within the block the signals that end or stop a process leave it the time to clear the screen."""
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGTSTP)}
    for number in ENDING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _end)
    signal.signal(signal.SIGTSTP, _go_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- a handler's form
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second one shall not break off the clearing
    _HEARD.append(number)
    _require_alive()


def _require_alive() -> None:
    if _HEARD:
        raise SystemExit(128 + _HEARD[0])


def _go_on(number: int, frame: FrameType | None) -> None:
    """A stopped process would leave its screen as it is; the editor, a process of its own, can be stopped."""


def wrapped(text: str) -> list[str]:
    """The text in lines as wide as the terminal, its own line ends kept; wide characters take two columns."""
    width = shutil.get_terminal_size().columns - 1
    return [part for line in text.split("\n") for part in _folded(printable(line), width)]


def _folded(line: str, width: int) -> Iterator[str]:
    start, used = 0, 0
    for place, character in enumerate(line):
        columns = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used + columns > width:
            yield line[start:place]
            start, used = place, 0
        used += columns
    yield line[start:]
