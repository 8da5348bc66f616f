"""What is declared about the workers that some work needs."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """One kind of child process.

    `module` is what the child imports, by its full name. It has `handle(request: bytes) -> bytes`, called for one
    request at a time; a RefusalError that it raises reaches the caller as such. It may have `prepare() -> None`, called
    once before the child is confined: the last moment to open a file, import a module or start a thread. Afterwards no
    file can be opened at all, so an import that a library puts off fails in `handle`: import it in `prepare`, or use
    the library once.

    memory_bytes: private memory of the process in all, the imported modules included. Past it an allocation fails.
    processes: how many at most. The first starts with the first call, another when a call has had to wait.
    idle_s: how long one stays without work.
    start_limit_s: for the imports and `prepare`.
    stack_bytes: `handle` is called on a thread with such a stack, which is part of the memory. 0: on the first thread.
    answer_bytes: a longer answer is an error.
    reserves_address_space: the module reserves far more addresses than it uses, as WebAssembly does.
    """

    name: str
    module: str
    memory_bytes: int = 512 * MIB
    processes: int = 2
    idle_s: float = 90.0
    start_limit_s: float = 30.0
    stack_bytes: int = 0
    answer_bytes: int = 4 * MIB
    reserves_address_space: bool = False
