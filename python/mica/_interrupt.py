"""Ctrl-C while the library works.

Python runs its signal handlers between instructions of the main thread, and there are none while that thread is inside the library. Callbacks
for tokens give it a chance; a long prompt has none. So a thread of ours, which Python's own low-level handler tells through a socket,
cancels the call; when that has returned, KeyboardInterrupt is raised as always.
"""

from __future__ import annotations

import os
import signal
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


class interruptible:  # noqa: N801  (used as a statement: with interruptible(cancel))
    """Calls `cancel` when Ctrl-C is pressed inside the block, where Python would raise KeyboardInterrupt for it."""

    def __init__(self, cancel: Callable[[], None]):
        self._cancel = cancel
        self._old: Optional[int] = None

    def __enter__(self) -> None:
        global _watcher
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        if _watcher is None or _watcher.pid != os.getpid():
            _watcher = _Watcher()
        old = signal.set_wakeup_fd(_watcher.inside.fileno(), warn_on_full_buffer=False)
        if old != -1:  # somebody else (asyncio) listens already: tokens still see the signal
            signal.set_wakeup_fd(old)
            return
        self._old = old
        _watcher.cancel = self._cancel

    def __exit__(self, *rest: Any) -> None:
        if self._old is not None and _watcher is not None:
            _watcher.cancel = None
            signal.set_wakeup_fd(self._old)
