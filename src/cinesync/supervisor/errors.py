"""Why a shop cannot be started."""


class StartFailed(RuntimeError):
    """The shop cannot be started; the message says why and what would help."""
