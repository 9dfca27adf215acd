"""Ctrl-C while the library works.

Python runs its signal handlers between instructions of the main thread, and there are none while that thread is inside the library. Callbacks
for tokens give it a chance; a long prompt has none. So a thread of ours, which Python's own low-level handler tells through a socket,
cancels the call; when that has returned, KeyboardInterrupt is raised as always.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, Callable, Optional


class _Watcher:
    """The thread and its socket; one for each process."""

    def __init__(self) -> None:
        import socket

        self.pid = os.getpid()
        self.cancel: Optional[Callable[[], None]] = None
        self.inside, self.outside = socket.socketpair()
        self.inside.setblocking(False)
        threading.Thread(target=self._watch, name="mica-interrupts", daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                signals = self.outside.recv(64)
            except OSError:
                return
            cancel = self.cancel
            if signal.SIGINT in signals and cancel is not None:
                cancel()


_watcher: Optional[_Watcher] = None


class interruptible:  # noqa: N801  (used as a statement: with interruptible(cancel) as interrupt)
    """Calls `cancel` when Ctrl-C is pressed inside the block, where Python would raise KeyboardInterrupt for it.

    Python may raise it on the very first instruction of a callback, where nothing of the callback can catch it, and then only says that it was
    ignored. That counts as pressed, too, and is not said: whoever ran the block asks `pressed` when it has ended."""

    def __init__(self, cancel: Callable[[], None]):
        self._cancel = cancel
        self._old: Optional[int] = None
        self._old_hook: Any = None
        self.pressed = False

    def _on_signal(self) -> None:
        self.pressed = True
        self._cancel()

    def _on_unraisable(self, what: Any) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            self._on_signal()
        else:
            self._old_hook(what)

    def __enter__(self) -> "interruptible":
        global _watcher
        if threading.current_thread() is not threading.main_thread():
            return self
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return self
        self._old_hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        if _watcher is None or _watcher.pid != os.getpid():
            _watcher = _Watcher()
        old = signal.set_wakeup_fd(_watcher.inside.fileno(), warn_on_full_buffer=False)
        if old != -1:  # somebody else (asyncio) listens already: tokens still see the signal
            signal.set_wakeup_fd(old)
            return self
        self._old = old
        _watcher.cancel = self._on_signal
        return self

    def __exit__(self, *rest: Any) -> None:
        if self._old_hook is not None:
            sys.unraisablehook, self._old_hook = self._old_hook, None
        if self._old is not None and _watcher is not None:
            _watcher.cancel = None
            signal.set_wakeup_fd(self._old)
