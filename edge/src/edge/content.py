"""Contents of messages as JSON protocols spell them: plain text, or parts with text and images."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from dormouse.agent.v1.message_pb2 import ContentPart, Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .errors import invalid_argument

IMAGE_LIMIT: Final = 8 * 1024 * 1024
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")


_BASE64: Final = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
_IMAGE_URL: Final = f"^data:image/(png|jpeg|webp);base64,{_BASE64}$"


class Schema(BaseModel):
    """Tolerant to unknown fields, strict on types."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def whole(value: object) -> object:
    """A whole number as an int; anything else as it is, for others to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Integers as JSON Schema knows them: 5.0 is one, "5" and 5.5 are none.
Count = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(whole)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(whole)]


class TextPart(Schema):
    type: Literal["text"]
    text: str


class ImageUrl(Schema):
    url: str = Field(
        description="A data URL with a PNG, JPEG or WebP image. Remote addresses are not fetched.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
        # Told, not enforced: what is wrong with an image is said better where it is decoded.
        json_schema_extra={"pattern": _IMAGE_URL},
    )
    detail: str | None = Field(None, description="Accepted and ignored.")


class ImagePart(Schema):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def parts_of(content: str | Sequence[TextPart | ImagePart] | None, param: str) -> list[ContentPart]:
    """The platform's form. `param` is the message's path in the body, for errors. Raises ApiError 400."""
    if content is None:
        return []
    if isinstance(content, str):
        return [ContentPart(text=content)]
    return [_part(part, f"{param}.content[{index}]") for index, part in enumerate(content)]


def _part(part: TextPart | ImagePart, param: str) -> ContentPart:
    if isinstance(part, TextPart):
        return ContentPart(text=part.text)
    return ContentPart(image=image_from_url(part.image_url.url, f"{param}.image_url.url"))


def image_from_url(url: str, param: str) -> Image:
    """The image inside a data URL. Raises ApiError 400; nothing is ever fetched."""
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        raise invalid_argument(
            "Images are taken as data URLs only (`data:image/png;base64,…`); remote addresses are not fetched.", param
        )
    media_type, *attributes = head.removeprefix("data:").split(";")
    if "base64" not in attributes:
        raise invalid_argument("The data URL of an image must be base64-encoded.", param)
    if media_type.lower() not in IMAGE_TYPES:
        raise invalid_argument(f"An image must be one of {', '.join(IMAGE_TYPES)}.", param)
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("The image's base64 text is damaged.", param) from None
    if not raw or len(raw) > IMAGE_LIMIT:
        raise invalid_argument(f"An image must hold 1 to {IMAGE_LIMIT} bytes.", param)
    return Image(media_type=media_type.lower(), data=raw)


def content_to_json(parts: Sequence[ContentPart]) -> str | list[dict[str, object]]:
    """A string where there is nothing but text, else parts."""
    if all(part.WhichOneof("part") != "image" for part in parts):
        return "".join(part.text for part in parts)
    return [_part_to_json(part) for part in parts]


def _part_to_json(part: ContentPart) -> dict[str, object]:
    if part.WhichOneof("part") != "image":
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.image.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.image.media_type};base64,{data}"}}
