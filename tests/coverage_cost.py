"""What coverage takes in vain: pytest-cov starts two watches in a test process, because at first it
takes it for the controller. The mark `no_cover` stops the inner one, and the outer would go on for
nobody.
"""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The real watch of a test process begins with its session."""
    watch = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and watch is not None and watch.cov_controller is not None:
        watch.cov_controller.cov.stop()
