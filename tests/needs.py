"""What a test needs from Debian: without it, a failure in CI and a skip, by name, elsewhere."""

import os

import pytest


def need(package: str, *, present: bool) -> None:
    """Skip the test, or fail it in CI, when the Debian package is not there."""
    if present:
        return
    message = f"needs the Debian package {package}"
    if os.environ.get("CI") == "true":  # noqa: TID251 the tests' own switch
        pytest.fail(message)
    pytest.skip(message)
