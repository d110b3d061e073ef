"""Stops the second coverage measurement that pytest-cov begins in a worker of pytest-xdist.

The mark `no_cover` stops the inner measurement only; the outer one would slow down those tests for
nothing.
"""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The measurement of a worker begins with its session, after this."""
    plugin = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and plugin is not None and plugin.cov_controller is not None:
        plugin.cov_controller.cov.stop()
