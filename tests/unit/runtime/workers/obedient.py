"""A worker's module that runs whatever Python it is sent: what code that has broken out of a library could try."""

import ctypes
import encodings.idna  # noqa: F401 - what a lookup of a host would import
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from dormouse_runtime.workers import RefusalError

NAMES = {
    "Path": Path,
    "RefusalError": RefusalError,
    "ctypes": ctypes,
    "mmap": mmap,
    "os": os,
    "resource": resource,
    "signal": signal,
    "socket": socket,
    "subprocess": subprocess,
    "threading": threading,
    "time": time,
}


def handle(request: bytes) -> bytes:
    names = dict(NAMES)
    exec(request.decode(), names)
    return str(names.get("out", "")).encode()
