"""The files behind an API's documentation pages: those that are there, by their names alone."""

import importlib.util
from pathlib import Path

from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File
from litestar.types import ControllerRouterHandler

# Found, not imported: the package would load all of Flask for a folder of assets.
SWAGGER_ASSETS = Path(importlib.util.find_spec("flask_swagger_ui").origin or "").parent / "dist"  # type: ignore[union-attr]
FILES = {file.name: file for file in SWAGGER_ASSETS.iterdir() if file.is_file()}


def docs_assets(path: str) -> ControllerRouterHandler:
    """Under `path`. No name of a client's is ever looked for on the disk."""

    @get(f"{path}/{{name:str}}", include_in_schema=False)
    async def asset(name: FromPath[str]) -> File:
        if name not in FILES:
            raise NotFoundException
        return File(FILES[name], content_disposition_type="inline")

    return asset
