"""A confined worker cannot open a file, a socket or a process, and lives within its limits."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from dormouse_runtime.workers import WorkerError, WorkerKind, Workers
from dormouse_runtime.workers.kind import MIB

linux = pytest.mark.skipif(sys.platform != "linux", reason="the protections are the Linux kernel's")
OBEDIENT = WorkerKind("obedient", "tests.unit.runtime.workers.obedient", memory_bytes=256 * MIB)

# Each is a whole attempt: what it would bring is put into `out`.
FILES = [
    "out = open('{canary}').read()",
    "out = os.open('{canary}', os.O_RDONLY)",
    "out = os.open('{folder}', os.O_PATH)",
    "out = open('{folder}/written', 'w').write('x')",
    "out = os.open('{folder}/written', os.O_CREAT | os.O_WRONLY)",
    "out = os.open('{folder}', os.O_TMPFILE | os.O_RDWR)",
    "out = os.truncate('{canary}', 0)",
    "out = os.unlink('{canary}')",
    "out = os.rename('{canary}', '{folder}/written')",
    "out = os.link('{canary}', '{folder}/written')",
    "out = os.symlink('{canary}', '{folder}/written')",
    "out = os.mkdir('{folder}/written')",
    "out = os.mkfifo('{folder}/written')",
    "out = os.chmod('{canary}', 0o777)",
    "out = os.stat('{canary}').st_size",
    "out = os.listdir('{folder}')",
    "out = os.readlink('/proc/self/exe')",
    "out = open('/proc/self/environ').read()",
    "out = open('/proc/self/mem', 'r+b')",
    "out = open('/proc/{parent}/environ').read()",
    "out = open('/dev/tty')",
    "out = os.chdir('/tmp')",
    "out = os.chroot('/')",
    "out = os.memfd_create('x')",
    "out = os.pipe()",
    "out = os.dup(0)",
    "out = os.openpty()",
    "out = os.statvfs('/')",
]
SOCKETS = [
    "out = socket.socket()",
    "out = socket.socket(socket.AF_INET6)",
    "out = socket.socket(socket.AF_UNIX)",
    "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "out = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "out = socket.socketpair()",
    "out = socket.create_connection(('127.0.0.1', {port}))",
    "out = socket.getaddrinfo('localhost', 80)",
]
PROCESSES = [
    "out = os.fork()",
    "out = os.forkpty()",
    "out = 'refused' if os.system('touch {folder}/written') else 'ran'",
    "out = subprocess.run(['true'])",
    "out = os.posix_spawn('/bin/true', ['true'], {{}})",
    "out = os.execv('/bin/true', ['true'])",
    "out = os.kill({parent}, 0)",
    "out = os.kill(1, 0)",
    "out = os.kill(-1, 0)",
    "out = os.killpg(0, 0)",
    "out = os.pidfd_open({parent})",
    "out = os.getpgid({parent})",
    "out = os.setsid()",
    "out = os.setuid(65534)",
    "out = os.nice(-5)",
    "out = os.sched_setaffinity(0, {{0}})",
]
LIMITS = [
    "out = resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))",
    "out = resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))",
    "out = resource.prlimit({parent}, resource.RLIMIT_NOFILE)",
    "out = mmap.mmap(-1, 1 << 20)",  # shared memory, which the limit of data does not count
    "out = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_EXEC)",
]


@pytest.fixture(scope="module")
async def workers() -> AsyncIterator[Workers]:
    workers = Workers()
    workers.declare(OBEDIENT)
    yield workers
    await workers.close()


async def call(workers: Workers, code: str) -> str:
    return (await workers.call("obedient", code.encode(), 10)).decode()


def descriptors(pid: int) -> list[str]:
    return [str(path.readlink()) for path in list(Path(f"/proc/{pid}/fd").iterdir()) if path.is_symlink()]


@linux
@pytest.mark.parametrize("code", [*FILES, *SOCKETS, *PROCESSES, *LIMITS])
async def test_the_kernel_refuses(workers: Workers, tmp_path: Path, code: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("canary")
    connected = asyncio.Event()

    def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        places = {
            "canary": canary,
            "folder": tmp_path,
            "parent": os.getpid(),
            "port": server.sockets[0].getsockname()[1],
        }
        attempt = code.format(**places)
        before = {child.pid for child in psutil.Process().children()}
        answer = await call(
            workers, f"try:\n    {attempt}\nexcept (OSError, ValueError) as error: out = f'refused: {{error}}'\n"
        )
        assert "refused" in answer
        assert not connected.is_set()
    # The pool may have started another worker meanwhile; nothing else may be there.
    new = [child for child in psutil.Process().children() if child.pid not in before]
    assert [child for child in new if "dormouse_runtime.workers.child" not in child.cmdline()] == []
    assert all(psutil.Process(pid).children() == [] for pid in workers.pids(OBEDIENT.name))
    assert [path.name for path in list(tmp_path.iterdir())] == ["canary"]  # noqa: ASYNC240
    assert canary.read_text() == "canary"


@linux
async def test_system_calls_are_refused_from_below_python_too(workers: Workers) -> None:
    """The numbers are x86-64's and arm64's: ptrace, io_uring_setup, bpf, userfaultfd, keyctl, process_vm_readv, …"""
    x86_64 = [101, 425, 321, 323, 250, 310, 298, 272, 308, 165, 246, 169, 160, 41, 59, 56, 57, 58, 2, 257, 437]
    arm_64 = [117, 425, 280, 282, 219, 270, 241, 97, 268, 40, 104, 142, 164, 198, 221, 220, 56, 437]
    code = f"""
import platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {x86_64} if platform.machine() == 'x86_64' else {arm_64}
out = [n for n in numbers if libc.syscall(ctypes.c_long(n), 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != 1]
"""
    assert await call(workers, code) == "[]"


@linux
async def test_no_new_privileges_and_the_filter_are_on(workers: Workers) -> None:
    pid = await call(workers, "out = os.getpid()")
    status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


async def test_a_thread_may_start_and_is_confined_like_the_rest(workers: Workers) -> None:
    code = """
def attempt():
    global out
    try: out = open('/etc/hosts').read()
    except OSError: out = 'refused'
thread = threading.Thread(target=attempt); thread.start(); thread.join()
"""
    assert await call(workers, code) == "refused"


async def test_nothing_is_inherited(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret from the environment, no descriptor but the pipes and /dev/null."""
    monkeypatch.setenv("SHOP_DSN", "a-secret")
    fresh = Workers()
    fresh.declare(OBEDIENT)
    secret, other = os.pipe()
    os.set_inheritable(secret, True)
    try:
        answer = await call(fresh, "out = dict(os.environ)")
        pid = await call(fresh, "out = os.getpid()")
        if sys.platform == "linux":
            targets = descriptors(int(pid))
            assert sorted(target.partition(":")[0] for target in targets) == ["/dev/null"] * 3 + ["pipe"] * 2
            assert f"pipe:[{os.fstat(secret).st_ino}]" not in targets
    finally:
        os.close(secret)
        os.close(other)
        await fresh.close()
    assert "a-secret" not in answer
    assert "SHOP_DSN" not in answer


@linux
@pytest.mark.parametrize(
    ("layer", "attempt"),
    [
        ("landlock.deny_everything()", "open({canary!r}).read()"),
        ("landlock.deny_everything()", "open({canary!r}, 'w')"),
        ("seccomp.install()", "open({canary!r}).read()"),
        ("seccomp.install()", "socket.socket()"),
        ("seccomp.install()", "os.fork()"),
    ],
)
async def test_each_layer_holds_by_itself(tmp_path: Path, layer: str, attempt: str) -> None:
    canary = tmp_path / "canary"
    canary.write_text("canary")
    program = f"""
import ctypes, os, socket
from dormouse_runtime.workers import landlock, seccomp
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
if not {layer}: print('unavailable', flush=True); os._exit(0)
try: {attempt.format(canary=str(canary))}
except PermissionError: os.write(1, b'refused'); os._exit(0)
os.write(1, b'escaped'); os._exit(0)
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True)
    if "unavailable" in done.stdout:
        pytest.skip(f"this kernel lacks {layer}")
    assert done.stdout == "refused", done.stderr


async def test_what_the_system_lacks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    kinds = [WorkerKind(name, "tests.unit.runtime.workers.bare") for name in ("one", "two")]
    workers = Workers()
    try:
        for kind in kinds:
            workers.declare(kind)
            assert await workers.call(kind.name, b"x", 10) == b"x"
    finally:
        await workers.close()
    assert [record.__dict__["lacks"] for record in caplog.records if "lacks" in record.__dict__] == ["landlock"]


async def test_an_error_is_no_way_to_more_memory(workers: Workers) -> None:
    for _ in range(3):
        with contextlib.suppress(WorkerError):
            await call(workers, "out = b'x' * (10 << 30)")
    pids = workers.pids("obedient")
    assert all(psutil.Process(pid).memory_info().rss < OBEDIENT.memory_bytes for pid in pids if psutil.pid_exists(pid))
