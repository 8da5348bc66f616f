"""What a form asks for, whatever its boundary."""

import hashlib
from contextlib import aclosing
from typing import Final

from fastapi import Request

from edge.files.form import UploadForm, file_in, form_fingerprint

PIECE_BYTES: Final = 256 * 1024


async def content_of_form(request: Request) -> bytes:
    """Reads the request's form to its end, and keeps nothing of it. Raises ApiError 400, 415."""
    form, digest = UploadForm(request.headers.get("content-type")), hashlib.sha256()
    async with aclosing(file_in(form, request.stream(), PIECE_BYTES)) as pieces:
        async for piece in pieces:
            digest.update(piece)
    return form_fingerprint(form, digest.hexdigest())
