"""R11: where does the randomness of a release come from, and do two copies of one process share any of it?"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.anonymizer.noise import DiscreteGaussian, RandomBytes
from agent.local.randomness import random_bytes
from tests.anonymizer.test_noise import POISON
from tests.privacy.mechanism import Ints, policy_of, wide_terms
from tests.privacy.table import Record

DRAWS = 1 << 20
ROOT = Path(__file__).parents[2]

SEEDED = "import agent.local.randomness as r; r.random_bytes = lambda count: numpy.random.bytes(count)"
"""A broken variant: bytes from a generator with a seed. It is put in after the poison, before anything of ours is imported."""


def poisoned(variant: str = "") -> "subprocess.CompletedProcess[str]":
    """The release path in a process where every function of `random` and `numpy.random`, seeding included, ends it."""
    script = POISON.replace("from agent.local.randomness import", f"{variant}\nfrom agent.local.randomness import")
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


class ReadAhead:
    """A broken variant: takes from the kernel ahead of need, as buffered generators do, so a copy of the process inherits what waits."""

    def __init__(self) -> None:
        self._buffer = b""

    def __call__(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += os.urandom(1 << 16)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


def clones(law: DiscreteGaussian, source: RandomBytes, draws: int) -> tuple[Ints, Ints, Ints, Ints]:
    """(words, draws) of a process that has drawn once, and of its clone that resumes from the same memory."""

    def work() -> tuple[Ints, Ints]:
        taken: list[bytes] = []

        def noted(count: int) -> bytes:
            taken.append(source(count))
            return taken[-1]

        drawn = np.concatenate([law.draw(1 << 16, noted) for _ in range(draws >> 16)])
        return np.frombuffer(b"".join(part for part in taken if len(part) > 16), dtype="<i8"), drawn

    law.draw(1, source)
    mine, theirs = in_clone(work)
    return *mine, *theirs


def in_clone(work: Callable[[], tuple[Ints, Ints]]) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """The results of `work` here and in a forked copy."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        words, drawn = work()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(words.tobytes() + drawn.tobytes())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = np.frombuffer(pipe.read(), dtype="<i8")
    assert os.waitpid(child, 0)[1] == 0
    mine = work()
    return mine, (data[: mine[0].size], data[mine[0].size :])


def test_two_clones_share_no_draw_and_nobody_seeds(record: Record) -> None:
    """AN-13: no call reaches a seedable generator; 2^20 draws of a process and of its clone have no 64-bit word in common, and agree as
    often as unrelated ones. False alarms: 6e-7 (five standard deviations) and 6e-8 (2^40 pairs of 64-bit words)."""
    done = poisoned()
    assert (done.stdout.strip(), done.returncode) == ("clean", 0), done.stderr
    seeded = poisoned(SEEDED)
    assert "poisoned numpy.random" in seeded.stderr

    law = wide_terms(policy_of("0.125"), 1).noise
    words, draws, their_words, their_draws = clones(law, random_bytes, DRAWS)
    assert words.size == their_words.size == DRAWS
    shared = np.intersect1d(words, their_words).size
    agree = float((draws == their_draws).mean())
    _, counts = np.unique(draws, return_counts=True)
    chance = float(((counts / DRAWS) ** 2).sum())
    assert shared == 0
    assert abs(agree - chance) < 5 * (chance / DRAWS) ** 0.5

    words, _, their_words, _ = clones(law, ReadAhead(), 1 << 16)
    inherited = np.intersect1d(words, their_words).size
    assert inherited > 0
    record(
        "R11",
        "seeds; two clones of a process, 2^20 draws",
        measured=f"0 calls; {shared} words shared, draws agree {agree:.4f}",
        claim=f"0; 0; {chance:.4f} by chance",
        caught=["bytes from numpy.random", f"bytes read ahead ({inherited} words inherited)"],
    )
