"""Runs one test file with pytest: run.py FILE. Exits with 77, having said why, if this interpreter has no pytest or no numpy."""

import sys

try:
    import numpy  # noqa: F401
    import pytest
except ImportError as e:
    print(f"skipped: {e} (Debian: python3-pytest, python3-numpy)")
    sys.exit(77)

sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-rs", *sys.argv[1:]]))
