"""The static files of Swagger UI, by name."""

import importlib.util
import mimetypes
from pathlib import Path

from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File
from litestar.types import ControllerRouterHandler

# Found, not imported: the package would import Flask for a folder of files.
SWAGGER_ASSETS = Path(importlib.util.find_spec("flask_swagger_ui").origin or "").parent / "dist"  # type: ignore[union-attr]
FILES = {file.name: file for file in SWAGGER_ASSETS.iterdir() if file.is_file()}


def docs_assets(path: str) -> ControllerRouterHandler:
    """Serves them under `path`. A name from a client is never looked up on the disk."""

    @get(f"{path}/{{name:str}}", include_in_schema=False)
    async def asset(name: FromPath[str]) -> File:
        if name not in FILES:
            raise NotFoundException
        # With `nosniff`, a browser runs no script and applies no style of another type.
        media_type, _ = mimetypes.guess_type(name)
        return File(FILES[name], media_type=media_type, content_disposition_type="inline")

    return asset
