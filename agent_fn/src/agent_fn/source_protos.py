"""Sources between the proto and the domain's type."""

from typing import Final

from dormouse.common.v1 import source_pb2

from agent_fn.sources import Source

_FIELDS: Final = tuple(Source.__slots__)


def source_from_proto(proto: source_pb2.Source) -> Source:
    """Of a tool's result or a log."""
    return Source(**{name: getattr(proto, name) for name in _FIELDS})


def source_to_proto(source: Source) -> source_pb2.Source:
    """For an event."""
    return source_pb2.Source(**{name: getattr(source, name) for name in _FIELDS})
