"""Users as JSON."""

from typing import Any

from edge.native.conversion import time_to_json

from .users import User


def user_to_json(user: User) -> dict[str, Any]:
    """A UserObject."""
    status = "disabled" if user.disabled_at is not None else "active" if user.has_password else "invited"
    return {
        "id": user.id,
        "object": "user",
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "status": status,
        "created_at": time_to_json(user.created_at),
        "updated_at": time_to_json(user.updated_at),
    }
