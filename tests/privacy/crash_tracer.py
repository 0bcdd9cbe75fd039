"""ptrace(2) by way of ctypes: a child that stops before and after each of its system calls, so that it can be killed at any of them.

Works as an ordinary user on x86-64 and aarch64 with Linux 5.3 or newer: PTRACE_GET_SYSCALL_INFO is the same on both, only the calls'
numbers differ. One thread starts, steps and kills a tracee: ptrace belongs to a thread, not to a process.
"""

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_O_TRACESYSGOOD, _O_TRACEEXEC, _O_EXITKILL = 1, 1 << 4, 1 << 20
_SYSCALL_STOP = signal.SIGTRAP | 0x80

_INFO = struct.Struct("<BxxxIQQQ6Q")
"""op, arch, instruction and stack pointer; then nr and six arguments at an entry, the result as the first word at an exit."""
_ENTRY, _EXIT = 1, 2

_NUMBERS = {
    "x86_64": {
        "brk": 12, "clock_nanosleep": 230, "close": 3, "chmod": 90, "epoll_wait": 232, "fallocate": 285, "fchmod": 91, "fdatasync": 75, "fstat": 5, "fsync": 74,
        "getpid": 39, "getrandom": 318, "lseek": 8, "madvise": 28, "mkdir": 83, "mmap": 9, "munmap": 11, "newfstatat": 262, "openat": 257, "pread64": 17, "pwrite64": 18, "read": 0,
        "recvmsg": 47, "rename": 82, "renameat": 264, "stat": 4, "write": 1, "epoll_pwait": 281,
    },
    "aarch64": {
        "brk": 214, "clock_nanosleep": 115, "close": 57, "epoll_pwait": 22, "fallocate": 47, "fchmod": 52, "fdatasync": 83, "fstat": 80, "fsync": 82,
        "getpid": 172, "getrandom": 278, "lseek": 62, "madvise": 233, "mkdirat": 34, "mmap": 222, "munmap": 215, "newfstatat": 79, "openat": 56, "pread64": 67, "pwrite64": 68, "read": 63,
        "recvmsg": 212, "renameat": 38, "renameat2": 276, "write": 64,
    },
}  # fmt: skip
_NAMES = {number: name for name, number in _NUMBERS[platform.machine()].items()}


@dataclass(frozen=True, slots=True)
class Call:
    """A stop at a system call. `arguments` at an entry; `result` (negative: -errno) at an exit, where `name` is still the call's."""

    name: str
    entering: bool
    arguments: tuple[int, ...]
    result: int


class Tracee:
    """A child process that runs `work`, stopped now, before its first instruction; it dies with its tracer."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long
        self._information = ctypes.create_string_buffer(_INFO.size)
        self._name = ""
        self._arguments: tuple[int, ...] = ()
        self._signal = 0
        self.code: int | None = None
        """Exit code, or minus the signal, once it has ended."""
        self.pid = os.fork()
        if self.pid == 0:
            self._become(work)
        os.waitpid(self.pid, 0)
        self._call(_SETOPTIONS, _O_TRACESYSGOOD | _O_TRACEEXEC | _O_EXITKILL)

    def next(self) -> Call | None:
        """Run to its next stop at a system call; None when it has ended."""
        while True:
            self._call(_SYSCALL, self._signal)
            self._signal = 0
            _, status = os.waitpid(self.pid, 0)
            if not os.WIFSTOPPED(status):
                self.code = os.waitstatus_to_exitcode(status)
                return None
            stopped_by = os.WSTOPSIG(status)
            if stopped_by == _SYSCALL_STOP:
                return self._read()
            if status >> 16 == 0:  # a signal of its own, which it shall have; else an exec
                self._signal = stopped_by

    def kill(self) -> None:
        """SIGKILL: at an entry the call is not made, at an exit it was."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            while self.code is None:
                _, status = os.waitpid(self.pid, 0)
                if not os.WIFSTOPPED(status):
                    self.code = os.waitstatus_to_exitcode(status)

    def terminate(self) -> None:
        """SIGTERM, which it gets at the next `next`."""
        os.kill(self.pid, signal.SIGTERM)

    def path_of(self, fd: int) -> str:
        """What a descriptor of it is open on."""
        return os.readlink(f"/proc/{self.pid}/fd/{fd}")

    def _become(self, work: Callable[[], None]) -> NoReturn:
        code = 1
        try:
            self._ptrace(_TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            work()
            code = 0
        finally:
            os._exit(code)

    def _read(self) -> Call:
        self._call(_GET_SYSCALL_INFO, ctypes.addressof(self._information), len(self._information))
        operation, _, _, _, first, *arguments = _INFO.unpack(self._information.raw)
        if operation == _ENTRY:
            self._name = _NAMES.get(first, f"call {first}")
            self._arguments = tuple(arguments)
        elif operation != _EXIT:
            raise OSError(f"neither entry nor exit of a system call: {operation}")
        signed = first - (1 << 64) if operation == _EXIT and first >> 63 else first
        return Call(self._name, operation == _ENTRY, self._arguments, signed if operation == _EXIT else 0)

    def _call(self, request: int, data: int, address: int = 0) -> None:
        if self._ptrace(request, self.pid, address, data) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")
