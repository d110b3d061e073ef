"""PostgreSQL's own parse tree of a statement, as something one can walk."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pgparse

from cinesync.chassis.database import text

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its kind (`SelectStmt`), what it holds, and the node it is part of."""

    kind: str
    body: Body
    parent: "Node | None" = None

    def text(self, name: str) -> str:
        """A scalar of the node, or an empty text."""
        return str(self.body.get(name, ""))

    def ancestors(self) -> "Iterator[Node]":
        """The nodes around this one, innermost first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


def parse(sql: str) -> list[Node]:
    """The statements in `sql`. Raises pgparse.PGQueryError."""
    statements = cast("list[dict[str, Any]]", pgparse.parse(text(sql).sql))
    return [_only(raw["stmt"], None) for raw in statements if raw.get("stmt")]


def walk(node: Node) -> Iterator[Node]:
    """`node` and every node in it."""
    yield node
    for value in node.body.values():
        yield from _within(value, node)


def strings(items: Any) -> list[str]:
    """The texts of a list of String nodes."""
    return [item["String"].get("sval", "") for item in items or () if "String" in item]


def _within(value: Any, parent: Node) -> Iterator[Node]:
    if isinstance(value, list):
        for item in value:
            yield from _within(item, parent)
    elif isinstance(value, dict):
        if len(value) == 1 and next(iter(value))[:1].isupper():
            yield from walk(_only(value, parent))
        else:  # a field whose type the grammar fixes: `relation`, `typeName`, `ctequery` …
            for name, inner in value.items():
                yield from _within({name: inner} if name[:1].isupper() else inner, parent)


def _only(value: dict[str, Any], parent: Node | None) -> Node:
    [(kind, body)] = value.items()
    return Node(kind, body, parent)
