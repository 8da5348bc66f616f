"""A worker's module that does nothing: what a call costs by itself."""


def handle(request: bytes) -> bytes:
    return request
