"""How WebAssembly is compiled and run: the same settings when the component is built and when it is used."""

import platform
import sys
from typing import Final

import wasmtime
from wasmtime import Config, Engine

MIB: Final = 1 << 20
# CPython inside keeps its own stack of about 1 MiB and says RecursionError at its end. This one has to outlast it, and
# to fit on the stack of the thread that calls.
STACK_BYTES: Final = 48 * MIB
# Compile for every processor since about 2010 and not for the one at hand: an image is built on another machine than it
# runs on.
_TARGETS: Final = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
_FEATURES: Final = {
    "x86_64": ("has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_cmpxchg16b"),
    "aarch64": (),
}


def make_engine() -> Engine:
    """An engine whose programs stop when its epoch passes the deadline of their store."""
    config = Config()
    if sys.platform == "linux":
        config.target = _TARGETS[platform.machine()]
        for feature in _FEATURES[platform.machine()]:
            config.cranelift_flag_enable(feature)
    config.epoch_interruption = True
    # Without a wrapper in the package; the stack may not be larger than this.
    wasmtime._ffi.wasmtime_config_async_stack_size_set(config.ptr(), STACK_BYTES + MIB)
    config.max_wasm_stack = STACK_BYTES
    return Engine(config)
