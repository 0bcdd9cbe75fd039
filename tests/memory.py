"""How much memory a process has now. Its peak (ru_maxrss) never goes back: in a process that was once larger nothing raises it."""

from pathlib import Path


def resident_kib(pid: int | str = "self") -> int:
    """Resident set size, shared pages of libraries included."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
