"""Quorum sizes for n replicas of which f may be Byzantine (OSDI'99, sections 2 and 4.1)."""


def faults_max(n: int) -> int:
    """f: how many of n validators may be Byzantine without harm."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """ceil((n + f + 1) / 2): two quorums share an honest validator; 2f + 1 when n = 3f + 1."""
    return (n + faults_max(n)) // 2 + 1


def weak_quorum(n: int) -> int:
    """f + 1: at least one of these is honest."""
    return faults_max(n) + 1
