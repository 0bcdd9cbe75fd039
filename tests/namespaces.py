"""Two network namespaces and the cable between them, for tests: a broker at one end, a unit at the other, and a cut that both kernels see.

with Cable() as cable:
    subprocess.Popen([*cable.at_broker, "mosquitto", …])   # reachable from the unit at BROKER_ADDRESS
    subprocess.Popen([*cable.at_unit, …])
    cable.cut()     # no carrier at either end: nothing arrives, and nothing ends
    cable.mend()

Works as root, and as an ordinary user where user namespaces are allowed. Nothing outside the two namespaces is touched, and they are gone
with the block. Files and Unix sockets are shared with everyone: a city in the test's own namespace reaches the broker by such a socket.
"""

import contextlib
import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

BROKER_ADDRESS = "10.77.0.1"
UNIT_ADDRESS = "10.77.0.2"
END = "wire"
"""The interface's name at either end."""
IP = shutil.which("ip") or "/usr/sbin/ip"
WITHIN_S = 20.0


class CannotBeMade(Exception):
    """No namespace can be made here: neither root nor user namespaces, or no `ip`."""


class Cable:
    """A veth pair with an end in a namespace each."""

    def __init__(self) -> None:
        self._as_user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        self._holders = contextlib.ExitStack()
        self.at_broker: tuple[str, ...] = ()
        """What a command begins with that is to run at the broker's end."""
        self.at_unit: tuple[str, ...] = ()

    def cut(self) -> None:
        """The carrier goes at both ends."""
        self._run(*self.at_broker, IP, "link", "set", END, "down")

    def mend(self) -> None:
        """It is back."""
        self._run(*self.at_broker, IP, "link", "set", END, "up")

    def __enter__(self) -> Self:
        try:
            mapped = ("--map-root-user",) if self._as_user else ()
            first = self._hold("unshare", *mapped, "--net")
            self.at_broker = self._inside(first)
            second = self._hold(*self.at_broker, "unshare", "--net")
            self.at_unit = self._inside(second)
            pair = ("type", "veth", "peer", "name", END, "netns", str(second))
            self._run(*self.at_broker, IP, "link", "add", END, *pair)
            for inside, address in ((self.at_broker, BROKER_ADDRESS), (self.at_unit, UNIT_ADDRESS)):
                self._run(*inside, IP, "address", "add", f"{address}/30", "dev", END)
                for interface in (END, "lo"):
                    self._run(*inside, IP, "link", "set", interface, "up")
        except BaseException:
            self._holders.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holders.close()

    def _inside(self, holder: int) -> tuple[str, ...]:
        return ("nsenter", "--target", str(holder), *self._as_user, "--net")

    def _hold(self, *command: str) -> int:
        """A process in a new namespace, which ends when its stdin closes; returns its id."""
        try:
            holder = subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as bad:
            raise CannotBeMade(str(bad)) from None
        self._holders.callback(holder.communicate)
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        if holder.stdout.readline() != b"\n":  # `cat` runs: the namespace is there
            raise CannotBeMade(" ".join(command))
        return holder.pid

    @staticmethod
    def _run(*command: str) -> None:
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=WITHIN_S)
        except FileNotFoundError as bad:
            raise CannotBeMade(str(bad)) from None
        except subprocess.CalledProcessError as bad:
            raise CannotBeMade(f"{' '.join(command)}: {bad.stderr.decode().strip()}") from None
