"""Reads a form with one file (multipart/form-data) as it comes: fields are kept, the file's bytes are handed on."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from edge.errors import ApiError, invalid_argument

FIELD_BYTES: Final = 16 * 1024
FIELDS: Final = 64
HEADERS: Final = 16
HEADER_BYTES: Final = 8 * 1024

_FILE: Final = "file"
_WANTED: Final = ("purpose", "metadata", "expires_after")


class UploadForm:
    """Feed it the body piece by piece; it yields what is the file's. One per request.

    Raises ApiError 400 for what is no such form, 415 for what does not say that it is one.
    """

    def __init__(self, content_type: str | None) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise ApiError(
                415,
                "The body must be a form with a file: send it as `multipart/form-data`.",
                code="unsupported_media_type",
            )
        self.fields: dict[str, str] = {}
        """The fields so far, by name; those that mean nothing here are passed over."""
        self.file_name: bytes | None = None
        """What the client calls the file. None until the file has begun."""
        self.is_complete = False
        """Whether the form has come to its end."""
        self._pieces: list[bytes] = []
        self._part: dict[bytes, bytes] = {}
        self._header = b""
        self._value = b""
        self._name = ""
        self._is_file = False
        self._is_wanted = False
        self._field = bytearray()
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
                max_header_count=HEADERS,
                max_header_size=HEADER_BYTES,
            )
        except FormParserError:
            raise _damaged() from None
        if not options.get(b"boundary"):
            raise _damaged()

    def feed(self, data: bytes) -> list[bytes]:
        """What of the file is in this piece of the body."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _damaged() from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def _part_begin(self) -> None:
        self._part = {}
        self._header = self._value = b""
        self._name, self._is_file, self._is_wanted = "", False, False
        self._field.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._part[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._part.get(b"content-disposition", b"").decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise invalid_argument("A part of the form has no name.")
        self._name = options[b"name"].decode(errors="replace")
        if self._name != _FILE:
            self._is_wanted = self._name.startswith(_WANTED)
            if self._is_wanted and len(self.fields) >= FIELDS:
                raise invalid_argument(f"The form has more than {FIELDS} fields.")
            return
        if self.file_name is not None:
            raise invalid_argument("The form has more than one file.", _FILE)
        self.file_name = options.get(b"filename", b"")
        self._is_file = True

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])
            return
        if not self._is_wanted:
            return
        self._field += data[start:end]
        if len(self._field) > FIELD_BYTES:
            raise invalid_argument(f"`{self._name[:64]}` is longer than {FIELD_BYTES} bytes.", self._name[:64])

    def _part_end(self) -> None:
        if self._is_wanted:
            self.fields[self._name] = _text(bytes(self._field), self._name[:64])

    def _end(self) -> None:
        self.is_complete = True


async def file_in(form: UploadForm, body: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The file's bytes in pieces of at least `size`, but for the last. Reads the body to its end.

    Raises ApiError 400 where it ends too soon, or has no file.
    """
    held = bytearray()
    async for data in body:
        for piece in form.feed(data):
            held += piece
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if not form.is_complete:
        raise invalid_argument("The form ended before it was complete.")
    if form.file_name is None:
        raise invalid_argument("The form has no field `file` with a file in it.", _FILE)
    if held:
        yield bytes(held)


def form_fingerprint(form: UploadForm, sha256: str) -> bytes:
    """The same for two forms that say the same, whose files have this hash."""
    said = repr((form.file_name, sorted(form.fields.items()), sha256))
    return hashlib.sha256(said.encode()).digest()


def _text(data: bytes, param: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise invalid_argument(f"`{param}` is not UTF-8.", param) from None
    if "\0" in text:
        raise invalid_argument(f"`{param.replace(chr(0), '')}` holds a null character.", None)
    return text


def _damaged() -> ApiError:
    return invalid_argument("The body is not a form (multipart/form-data) that can be read.")
