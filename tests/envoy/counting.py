"""A compiler for Envoy's module that counts the calls of each of Envoy's callbacks.

As a program, it compiles like `cc` with the same arguments. The module then counts in a file, see `counts`.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABI = ROOT / "envoy" / "module" / "abi.h"
BUILD = Path(__file__).parent / "build"
PREFIX = "envoy_dynamic_module_callback_"
#: Callbacks that are called only for nodes, some only after failures: tests/integration/nodes/test_callbacks.py.
OF_NODES = {
    *("http_filter_get_attribute_string", "http_send_response_headers"),
    *("lb_get_hosts_count", "lb_get_healthy_hosts_count", "lb_get_host_address", "lb_get_host_weight"),
    *("lb_get_host_health", "lb_get_host_stat", "lb_context_get_downstream_header"),
    "lb_context_should_select_another_host",
}
_PAGE = 65_536  # the largest of any system

#: Counts, and continues at the original callback with all argument registers intact.
_TRAMPOLINE = """
#define TEXT(number) #number
#define COUNTED(name, number) TRAMPOLINE(name, TEXT(number))
#if defined __x86_64__
#define TRAMPOLINE(name, number)                                  \\
  __asm__(".globl __wrap_" #name "\\n.hidden __wrap_" #name "\\n__wrap_" #name ":\\n"          \\
          "lock incq counts + 8 * " number "(%rip)\\n"              \\
          "jmp __real_" #name "@PLT\\n")
#elif defined __aarch64__
#define TRAMPOLINE(name, number)                                  \\
  __asm__(".globl __wrap_" #name "\\n.hidden __wrap_" #name "\\n__wrap_" #name ":\\n"          \\
          "adrp x9, counts\\nadd x9, x9, :lo12:counts\\n"           \\
          "add x9, x9, 8 * " number "\\n"                           \\
          "1: ldxr x10, [x9]\\nadd x10, x10, 1\\n"                  \\
          "stxr w11, x10, [x9]\\ncbnz w11, 1b\\n"                   \\
          "b __real_" #name "\\n")
#endif
"""
_FILE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((visibility("hidden"), aligned(PAGE))) char counts[PAGE];

__attribute__((constructor)) static void map(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s.%d", COUNTS, (int)getpid());
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, PAGE) < 0) return;
  mmap(counts, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  close(file);
}
"""


def callbacks() -> list[str]:
    """Returns the callbacks that `abi.h` declares."""
    return re.findall(r"\bCALLBACK\((\w+)\)\(", ABI.read_text())


def compiler() -> Path:
    """Returns this program under a path that depends on its contents, because modules are cached by compiler."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    made = BUILD / f"counting-{digest}"
    if not made.exists():
        BUILD.mkdir(exist_ok=True)
        fresh = BUILD / f".{made.name}.{os.getpid()}"
        fresh.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.envoy.counting "$@"\n')
        fresh.chmod(0o700)
        fresh.rename(made)
    return made


def counts(pid: int) -> dict[str, int]:
    """Returns how often the module in this process has called each callback."""
    content = Path(f"{compiler()}.{pid}").read_bytes()
    names = callbacks()
    return dict(zip(names, struct.unpack_from(f"<{len(names)}Q", content), strict=True))


def forget(pid: int) -> None:
    """Removes the counts of this process."""
    Path(f"{compiler()}.{pid}").unlink(missing_ok=True)


def _source() -> str:
    names = [f"COUNTED({PREFIX}{name}, {number});" for number, name in enumerate(callbacks())]
    return "\n".join([f"#define PAGE {_PAGE}", f'#define COUNTS "{compiler()}"', _FILE, _TRAMPOLINE, *names, ""])


def main(arguments: list[str]) -> int:
    source = BUILD / f".counting.{os.getpid()}.c"
    source.write_text(_source())
    wrapped = [f"-Wl,--wrap={PREFIX}{name}" for name in callbacks()]
    try:
        return subprocess.run(["cc", *wrapped, *arguments, str(source)], check=False).returncode
    finally:
        source.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
