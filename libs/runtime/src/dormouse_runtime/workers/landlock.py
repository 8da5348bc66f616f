"""Landlock: the kernel refuses this process every file, TCP port, abstract socket and signal to others.

See landlock(7). Every version of the interface ("ABI") can refuse more than the one before it.
"""

import ctypes
import sys
from typing import Final

_CREATE_RULESET: Final = 444  # the same number on every architecture
_RESTRICT_SELF: Final = 446
_CREATE_RULESET_VERSION: Final = 1

_FS_ABI_1: Final = (1 << 13) - 1  # execute, read, write, list, make, remove
_FS_REFER: Final = 1 << 13
_FS_TRUNCATE: Final = 1 << 14
_FS_IOCTL_DEV: Final = 1 << 15
_NET_TCP: Final = 0b11  # bind, connect
_SCOPES: Final = 0b11  # abstract unix sockets, signals


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def deny_everything() -> bool:
    """False: the kernel has no Landlock, or it is switched off. Needs no_new_privs. Holds for this thread and those
    that it starts from now on; what is open stays open."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION)
    )
    if abi < 1:
        return False
    # Rights that are handled and that no rule grants are denied; there are no rules.
    ruleset, size = _ruleset(abi)
    descriptor = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if descriptor < 0:
        return False
    result = libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(descriptor), ctypes.c_uint32(0))
    libc.close(descriptor)
    return bool(result == 0)


def _ruleset(abi: int) -> tuple[_Ruleset, int]:
    """The ruleset and how much of it this version of the interface knows."""
    files = _FS_ABI_1
    if abi >= 2:
        files |= _FS_REFER
    if abi >= 3:
        files |= _FS_TRUNCATE
    if abi >= 5:
        files |= _FS_IOCTL_DEV
    ruleset = _Ruleset(files, _NET_TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    return ruleset, 24 if abi >= 6 else 16 if abi >= 4 else 8
