"""A worker's module that cannot be made ready."""


def prepare() -> None:
    raise RuntimeError("something is missing here")


def handle(request: bytes) -> bytes:
    return request
