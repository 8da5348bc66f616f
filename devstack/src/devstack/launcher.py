"""Starts one program so that it cannot outlive its parent, and as another user where asked. Run by path, not imported.

    python -I -S launcher.py [--user UID:GID [--read-search | --disguise]] PARENT_PID SIGNAL program [argument...]

The program replaces this process, so its pid is the one that the parent knows. When the process PARENT_PID dies,
however it dies, the program gets SIGNAL (a number): on Linux from the kernel, elsewhere from a watcher that looks every
half second. `--read-search` lets the other user read files that only root could otherwise reach (for a checkout under
/root). `--disguise` is for a root that may not become anybody else, as in some sandboxes: the program sees the other
user's number, and the files that are ours as that user's.

Needs nothing but the standard library, and starts in about 20 ms.
"""

import ctypes
import os
import sys
import time

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 4
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    user, read_search, disguised = "", False, False
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--user":
            user = arguments.pop(0)
        elif option == "--read-search":
            read_search = True
        elif option == "--disguise":
            disguised = True
        else:
            sys.exit(f"launcher: unknown option {option}")
    parent, signal_number, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if user:
        uid, gid = (int(part) for part in user.split(":"))
        if disguised:
            disguise(uid, gid)
        else:
            become(uid, gid, read_search=read_search)
    # After the change of user, which would reset it.
    die_with(parent, signal_number)
    try:
        os.execvp(program[0], program)  # noqa: S606  (it is what this program is for)
    except OSError as error:
        sys.exit(f"launcher: cannot start {program[0]}: {error.strerror}")


def become(uid: int, gid: int, *, read_search: bool) -> None:
    """Give up root for good; with `read_search` keep the one capability that passes closed folders."""
    try:
        if read_search and _on_linux():
            # Keeps the capabilities over setuid, and lets access(2), which programs ask first, count them.
            _libc().prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.exit(f"launcher: cannot become uid {uid}: {error.strerror}")
    if read_search and _on_linux() and not (_keep(CAP_DAC_READ_SEARCH) or _keep(CAP_DAC_OVERRIDE)):
        sys.exit("launcher: this root may not pass closed folders on to another user (no CAP_DAC_READ_SEARCH)")


def disguise(uid: int, gid: int) -> None:
    """Enter a user namespace in which our own user and group have other numbers. Leaves no capability after exec."""
    maps = {"setgroups": "deny", "uid_map": f"{uid} {os.getuid()} 1", "gid_map": f"{gid} {os.getgid()} 1"}
    try:
        if not _on_linux() or _libc().unshare(CLONE_NEWUSER) != 0:
            raise PermissionError
        for name, content in maps.items():
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  (pathlib would double the time to start)
                file.write(content)
    except OSError:
        sys.exit("launcher: this root may neither become another user nor make a user namespace; use an ordinary user")


def _keep(capability: int) -> bool:
    """Narrow this process to one capability that survives exec. Containers often have only the wider of the two."""
    libc = _libc()
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; twice, for capabilities below and from 32
    sets = (ctypes.c_uint32 * 6)(1 << capability, 1 << capability, 1 << capability, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        return False
    return bool(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0)


def die_with(parent: int, signal_number: int) -> None:
    if _on_linux():
        _libc().prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was told
            sys.exit("launcher: the parent is gone")
        return
    watch(parent, signal_number)


def watch(parent: int, signal_number: int) -> None:
    """Fork a process that ends this one when the parent has gone. For systems without PDEATHSIG."""
    program = os.getpid()
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    if os.fork():  # twice, so that the program never has to wait for a child it does not know
        os._exit(0)
    os.closerange(0, 3)
    while _alive(program):
        if not _alive(parent):
            os.kill(program, signal_number)
            break
        time.sleep(0.5)
    os._exit(0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _on_linux() -> bool:
    return os.uname().sysname == "Linux"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main(sys.argv[1:])
