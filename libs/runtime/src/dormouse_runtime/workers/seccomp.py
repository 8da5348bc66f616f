"""seccomp: the kernel lets this process make the system calls of a computation over two open pipes, and no other.

A list of what is allowed, because a list of what is forbidden is out of date with the next kernel. A call that is not
in it fails with EPERM: a library gets an error that it can handle instead of a crash.

See seccomp(2) and, for the filter's machine, the kernel's Documentation/networking/filter.rst.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SET_MODE_FILTER: Final = 1
_TSYNC: Final = 1  # every thread that runs already, too
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000

# Offsets in struct seccomp_data, and the instructions that the filters use.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")
_X32_NUMBERS: Final = 0x40000000

_MAP_SHARED: Final = 1
_PROT_EXEC: Final = 4
_CLONE_THREAD: Final = 0x10000


@dataclass(frozen=True, slots=True)
class _Machine:
    """An architecture: its audit number, its number of seccomp(2), and its numbers of system calls."""

    audit: int
    seccomp: int
    calls: Mapping[str, int]


# The order is that of the checks. rseq, membarrier and the sigaltstack are for the C library and for WebAssembly.
_PLAIN: Final = (
    "read", "write", "futex", "clock_gettime", "munmap", "madvise", "brk", "mremap", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "setitimer", "getrusage", "getrandom", "readv", "writev", "close", "fstat", "lseek", "getpid",
    "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname", "times", "clock_getres", "clock_nanosleep",
    "nanosleep", "gettimeofday", "sched_yield", "sched_getaffinity", "getcpu", "sigaltstack", "set_robust_list",
    "set_tid_address", "restart_syscall", "rseq", "membarrier", "poll", "ppoll", "select", "pselect6", "exit",
    "exit_group",
)  # fmt: skip

_X86_64: Final = _Machine(
    0xC000003E,
    317,
    {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20,
        "select": 23, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "setitimer": 38, "getpid": 39,
        "clone": 56, "exit": 60, "uname": 63, "gettimeofday": 96, "getrusage": 98, "times": 100, "getuid": 102,
        "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "futex": 202,
        "sched_getaffinity": 204, "set_tid_address": 218, "restart_syscall": 219, "clock_gettime": 228,
        "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "pselect6": 270, "ppoll": 271,
        "set_robust_list": 273, "prlimit64": 302, "getcpu": 309, "getrandom": 318, "membarrier": 324, "rseq": 334,
        "clone3": 435,
    },
)  # fmt: skip

_ARM_64: Final = _Machine(
    0xC00000B7,
    277,
    {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pselect6": 72, "ppoll": 73,
        "fstat": 80, "exit": 93, "exit_group": 94, "set_tid_address": 96, "futex": 98, "set_robust_list": 99,
        "nanosleep": 101, "setitimer": 103, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
        "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrusage": 165,
        "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175,
        "getgid": 176, "getegid": 177, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220,
        "mmap": 222, "mprotect": 226, "madvise": 233, "prlimit64": 261, "getrandom": 278, "membarrier": 283,
        "rseq": 293, "clone3": 435,
    },
)  # fmt: skip

_MACHINES: Final = {"x86_64": _X86_64, "aarch64": _ARM_64, "arm64": _ARM_64}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install() -> bool:
    """False: this kernel or architecture has none. Needs no_new_privs. Holds for every thread, and for good."""
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < 2**32:
        return False
    program = b"".join(_INSTRUCTION.pack(*instruction) for instruction in _filter(machine))
    libc = ctypes.CDLL(None, use_errno=True)
    argument = _Program(len(program) // _INSTRUCTION.size, program)
    result = libc.syscall(
        ctypes.c_long(machine.seccomp),
        ctypes.c_uint(_SET_MODE_FILTER),
        ctypes.c_uint(_TSYNC),
        ctypes.byref(argument),
    )
    return bool(result == 0)


_Code = list[tuple[int, int, int, int]]  # operation, jump if true, jump if false, operand


def _filter(machine: _Machine) -> _Code:
    calls = machine.calls
    code: _Code = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32_NUMBERS),
        _refuse(errno.EPERM),
    ]
    # Memory is private, so that the limit of data counts it, and what was written is never executed.
    code += _only_if(calls["mmap"], _bits_clear(3, _MAP_SHARED) + _bits_clear(2, _PROT_EXEC))
    code += _only_if(calls["mprotect"], _bits_clear(2, _PROT_EXEC))
    for name in _PLAIN:
        if name in calls:  # arm64 never had poll and select
            code += _only_if(calls[name], [])
    code += _only_if(calls["clone"], _bits_set(0, _CLONE_THREAD))
    code += _only_if(calls["tgkill"], _equals(0, os.getpid()))
    code += _only_if(calls["prlimit64"], _equals(0, 0) + _equals(2, 0))  # ask for its own limits, change none
    # Its flags are behind a pointer that a filter cannot follow. Who gets ENOSYS takes clone instead.
    code += [(_EQUAL, 0, 1, calls["clone3"]), _refuse(errno.ENOSYS)]
    return [*code, _refuse(errno.EPERM)]


def _only_if(number: int, conditions: _Code) -> _Code:
    """Allow this call when every condition holds; a condition that does not returns by itself."""
    body = [*conditions, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]


def _bits_clear(argument: int, mask: int) -> _Code:
    return [(_LOAD, 0, 0, _low(argument)), (_ANY_BIT, 0, 1, mask), _refuse(errno.EPERM)]


def _bits_set(argument: int, mask: int) -> _Code:
    return [(_LOAD, 0, 0, _low(argument)), (_ANY_BIT, 1, 0, mask), _refuse(errno.EPERM)]


def _equals(argument: int, value: int) -> _Code:
    return [
        (_LOAD, 0, 0, _low(argument)),
        (_EQUAL, 1, 0, value),
        _refuse(errno.EPERM),
        (_LOAD, 0, 0, _low(argument) + 4),
        (_EQUAL, 1, 0, 0),
        _refuse(errno.EPERM),
    ]


def _low(argument: int) -> int:
    """Where the lower half of an argument is; both machines are little-endian."""
    return _ARGUMENTS + 8 * argument


def _refuse(number: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | number)
