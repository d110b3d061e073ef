"""What a test needs beside Python: without it, a failure in CI and a skip, by name, elsewhere."""

import os

import pytest


def need(what: str, *, present: bool) -> None:
    """Skip the test, or fail it in CI, when `what` is not there."""
    if present:
        return
    message = f"needs {what}"
    if os.environ.get("CI") == "true":  # noqa: TID251 the tests' own switch
        pytest.fail(message)
    pytest.skip(message)
