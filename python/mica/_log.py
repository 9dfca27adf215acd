"""Warnings go to the logger "mica". Python's logging takes as long to import as half of this package, so it comes with the first one."""

from __future__ import annotations


def warning(message: str, *values: object) -> None:
    import logging

    logging.getLogger("mica").warning(message, *values)
