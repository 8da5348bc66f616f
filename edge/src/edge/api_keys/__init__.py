"""API keys as things: made, looked at, changed, rotated and revoked. `edge.auth` tells whose a key is.

`rows` holds plain functions over a connection that sees one tenant, so that routes and the command line share them;
`powers` is what a key may do, and whether its maker may give that; `service` is what the routes call.
"""

from .service import ApiKeys

__all__ = ["ApiKeys"]
