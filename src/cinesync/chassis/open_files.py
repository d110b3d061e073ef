"""How many files this process may have open: every connection is one.

The usual soft limit of 1,024 is for programs that use select(2); ours do not, and a thousand open
seat maps would close the shop. Each process raises it to the hard one.
"""

import resource

from cinesync.chassis.settings import SettingsError

# Databases, peers, the broker, logs, libraries: what a process needs beside its clients.
RESERVED_FILES = 256
CONNECTIONS_MAX = 16_384


def raise_limit() -> int:
    """The soft limit becomes the hard one, which is returned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_max(wanted: int = 0) -> int:
    """How many clients may be connected; 0: as many as open files allow, at most CONNECTIONS_MAX.

    Raises SettingsError for more than they allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    available = max(soft - RESERVED_FILES, soft // 2)
    if wanted > available:
        raise SettingsError(
            f"CONNECTIONS_MAX={wanted} needs {wanted + RESERVED_FILES} open files and this process"
            f" may have {soft}: raise the hard limit ({hard}; `ulimit -Hn`, LimitNOFILE=)"
            f" or set it to {available} at most"
        )
    return wanted or min(CONNECTIONS_MAX, available)


def streams_max(wanted: int, otherwise: int) -> int:
    """How many event streams may be open; 0: `otherwise`, as far as open files allow.

    Half of the connections stay for those who buy. Raises SettingsError for more than that.
    """
    available = connections_max() // 2
    if wanted > available:
        raise SettingsError(
            f"LIVE_LISTENERS_MAX={wanted} is more than half of the {2 * available} connections"
            f" that open files allow: raise the hard limit (`ulimit -Hn`, LimitNOFILE=)"
            f" or set it to {available} at most"
        )
    return wanted or min(otherwise, available)
