"""Lays `systemd/` out under a temporary root as an installation would, and asks systemd's own tools about it.

`python -m tests.systemd.installation` is the part of `make check` that verifies the units and prints their exposure.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.systemd.unit_files import SYSTEMD

UNITS = (
    "dtpr.target",
    "dtpr-reading.socket",
    "dtpr-lease.socket",
    "dtpr-firmware-bridge@street.service",
    "dtpr-anonymizer.service",
    "dtpr-publisher.service",
    "dtpr-beacon.service",
)
MAX_EXPOSURE: Mapping[str, float] = {
    "dtpr-firmware-bridge@street.service": 1.0,  # a tty, by a closed list
    "dtpr-anonymizer.service": 0.5,
    "dtpr-publisher.service": 1.5,  # the network
    "dtpr-beacon.service": 0.5,
}
INSTALLED_AS = {
    "dtpr.sysusers.conf": "usr/lib/sysusers.d/dtpr.conf",
    "dtpr.tmpfiles.conf": "usr/lib/tmpfiles.d/dtpr.conf",
    "dtpr.modules-load.conf": "usr/lib/modules-load.d/dtpr.conf",
    "70-dtpr-board.rules": "etc/udev/rules.d/70-dtpr-board.rules",
}
PYTHON = "usr/lib/dtpr/bin/python"
"""The interpreter of the installed environment: the one executable that our units name."""

_HOST_UNITS = Path("/usr/lib/systemd/system")
_OVERALL = re.compile(r"Overall exposure level for (\S+): ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the installation: its own numbers, which need not exist on this machine."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """A temporary root with our units among the distribution's own, and an interpreter that does nothing."""

    root: Path

    def verify(self) -> str:
        """What `systemd-analyze verify` has to say about our units: nothing, when they are clean."""
        ran = _run(["systemd-analyze", f"--root={self.root}", "--man=no", "verify", *UNITS])
        said = (ran.stdout + ran.stderr).strip()
        return said or ("" if ran.returncode == 0 else f"exit {ran.returncode}")

    def exposure(self) -> dict[str, float]:
        """`systemd-analyze security --offline` of each service: 0 is best, 10 worst."""
        levels = {}
        for name in MAX_EXPOSURE:
            ran = _run(
                ["systemd-analyze", f"--root={self.root}", "--offline=true", "--no-pager", "security", name], check=True
            )
            found = _OVERALL.search(ran.stdout)
            assert found is not None, ran.stdout + ran.stderr
            levels[found[1]] = float(found[2])
        return levels

    def create_accounts(self) -> None:
        """systemd-sysusers makes users and groups, in the root's own etc/passwd."""
        _run(["systemd-sysusers", f"--root={self.root}", "dtpr.conf"], check=True)

    def create_folders(self) -> None:
        """systemd-tmpfiles makes the folders; needs root, for their owners."""
        _run(["systemd-tmpfiles", f"--root={self.root}", "--create", "dtpr.conf"], check=True)

    def account(self, user: str) -> Account:
        """A user of the installation by name."""
        fields = self._line("passwd", user)
        return Account(int(fields[2]), int(fields[3]))

    def group(self, name: str) -> int:
        """The number of a group of the installation."""
        return int(self._line("group", name)[2])

    def _line(self, table: str, name: str) -> Sequence[str]:
        for line in (self.root / "etc" / table).read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return fields
        raise KeyError(name)


def install(root: Path) -> Installation:
    """Lay everything out under `root`, an empty folder."""
    units = root / "usr/lib/systemd/system"
    shutil.copytree(_HOST_UNITS, units, symlinks=True)
    for path in SYSTEMD.iterdir():
        if path.is_dir():
            shutil.copytree(path, units / path.name)
            continue
        target = root / INSTALLED_AS.get(path.name, f"usr/lib/systemd/system/{path.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / PYTHON).parent.mkdir(parents=True)
    shutil.copy("/bin/true", root / PYTHON)
    (root / "etc").mkdir(exist_ok=True)
    return Installation(root)


def _run(command: Sequence[str], *, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=check)


def main() -> int:
    """Verify and print the exposure table; 1 when a unit is not clean or too exposed."""
    with tempfile.TemporaryDirectory() as folder:
        installation = install(Path(folder))
        said = installation.verify()
        if said:
            print(said, file=sys.stderr)
            return 1
        print(f"{'systemd-analyze security (0 best, 10 worst)':<44}exposure  at most")
        failed = False
        for name, level in installation.exposure().items():
            failed |= level > MAX_EXPOSURE[name]
            print(f"{name:<44}{level:>8.1f}{MAX_EXPOSURE[name]:>9.1f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
