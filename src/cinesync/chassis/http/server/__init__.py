"""The HTTP server of a process, and the checks that a request passes before any app sees it."""
