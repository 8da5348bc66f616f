"""HTTP/2 settings of both ends of a call, side by side because they must match.

No maximum connection age: behind Knative a function's peer is the queue-proxy of its own pod, which balances calls, so
an aged connection would only be made again to the same peer.
"""

from __future__ import annotations

from typing import Final

Options = list[tuple[str, int]]

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
_MAX_METADATA_BYTES: Final = 16 * 1024
# A peer that vanished is noticed, and its calls fail, within KEEPALIVE_S + KEEPALIVE_TIMEOUT_S.
KEEPALIVE_S: Final = 30.0
_KEEPALIVE_TIMEOUT_S: Final = 10.0
# Foreign clients whose channels never go idle don't hold on to a function for ever.
_IDLE_CONNECTION_S: Final = 300.0


def client_options(max_message_bytes: int = MAX_MESSAGE_BYTES, keepalive_s: float = KEEPALIVE_S) -> Options:
    """Options of a channel: pings while calls are open, and none when there are none."""
    return [
        *_shared(max_message_bytes, keepalive_s),
        # A function that died is back within a second; the default would wait up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),  # despite its name: how long an attempt to connect may take
        ("grpc.max_reconnect_backoff_ms", 500),
        # Functions are inside; a proxy that is set for the way out would swallow the calls.
        ("grpc.enable_http_proxy", 0),
    ]


def server_options(max_message_bytes: int = MAX_MESSAGE_BYTES, keepalive_s: float = KEEPALIVE_S) -> Options:
    """Options of a server: it takes the pings that client_options sends, which the default punishes as an attack."""
    return [
        *_shared(max_message_bytes, keepalive_s),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(keepalive_s) // 2),
        ("grpc.max_connection_idle_ms", _ms(_IDLE_CONNECTION_S)),
        # Two processes on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
    ]


def _shared(max_message_bytes: int, keepalive_s: float) -> Options:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A token may have 8 KB. By default gRPC refuses calls at random from 8 KB of metadata on, and all above 16.
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", _ms(keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(_KEEPALIVE_TIMEOUT_S)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),  # no limit: a stream may be silent for long
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
