"""Which ports to listen on, and who holds one that is taken."""

import errno
import socket
import zlib
from pathlib import Path

import psutil

from devstack.errors import DevstackError

HOST = "127.0.0.1"
# Below the range that systems take ports for outgoing connections from, so that a restart finds its port free.
FIRST, COUNT = 20_000, 10_000


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise DevstackError(f"port {port} needs root; DORMOUSE_PORT names another one") from error
            return False
    return True


def holder(port: int) -> str:
    """Who listens there, as 'nginx (pid 12)'; 'another process' where the system does not tell us."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"


def internal_port(home: Path, name: str, recorded: int | None, taken: set[int]) -> int:
    """A free port for one part of one home: the recorded one, else one that follows from the folder's path."""
    first = zlib.crc32(f"{home}:{name}".encode()) % COUNT
    candidates = [FIRST + (first + step) % COUNT for step in range(COUNT)]
    if recorded:
        candidates.insert(0, recorded)
    for port in candidates:
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise DevstackError(f"no port from {FIRST} to {FIRST + COUNT - 1} is free")
