"""`/docs`: the API as a page. Everything in it comes from here, and the page holds no script of its own, so that its
Content-Security-Policy can forbid all others."""

from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

PATH: Final = "/docs"
STATIC: Final = "/docs/static"

# Swagger UI writes style attributes and shows pictures that are in its own style sheet.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>{title}</title>
<link rel="stylesheet" href="{root}/docs/static/swagger-ui.css">
<link rel="shortcut icon" href="{root}/docs/static/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{root}/docs/static/swagger-ui-bundle.js"></script>
<script src="{root}/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """\
const here = document.currentScript.src;
SwaggerUIBundle({
  url: new URL("../openapi.json", here).href,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""


def install(app: FastAPI) -> None:
    """Adds the page and what it loads; none of it is in the OpenAPI document."""

    async def page(request: Request) -> Response:
        html = _PAGE.format(title=f"{app.title} API", root=request.scope.get("root_path", ""))
        return HTMLResponse(html, headers={"content-security-policy": POLICY})

    async def start(request: Request) -> Response:
        return Response(_START, media_type="text/javascript")

    app.add_route(PATH, page, include_in_schema=False)
    app.add_route(f"{PATH}/start.js", start, include_in_schema=False)
    assets = Path(fastapi_offline.__file__).parent / "static"
    app.mount(STATIC, StaticFiles(directory=assets), name="docs-static")
