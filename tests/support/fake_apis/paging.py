"""Lists by page, as all services return them."""

from typing import Any

from flask import Response, jsonify, request


def page(items: list[dict[str, Any]]) -> Response:
    limit = int(request.args.get("limit", 50))
    after = int(request.args.get("after", 0))
    following = str(after + limit) if len(items) > after + limit else None
    return jsonify(items=items[after : after + limit], next=following)
