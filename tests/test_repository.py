"""The repository itself: its fixed shape (DESIGN.md section 4), its lock file, and nothing in it of the machine it was made on."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TOP = {
    "agent",
    "firmware_bridge",
    "config",
    "systemd",
    "tests",
    "pyproject.toml",
    "README.md",
    "Makefile",
    "CHANGELOG.md",
    "LICENSE",
    "SECURITY.md",
    ".ci",
    ".gitignore",
    "requirements.lock",
}
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;]+)(?: ; [^\\]+)? \\$", re.MULTILINE)
ELSEWHERE = re.compile(r"/root|/home|/tmp|index-url|find-links")
WORKPLACE = re.compile("/(?:root|work|home/[a-z]+)/")


def _run(*command: str) -> str:
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _tracked() -> list[Path]:
    names = _run("git", "ls-files", "-z").split("\0")
    return [PROJECT / name for name in names if name and (PROJECT / name).exists()]


def _lock() -> str:
    return (PROJECT / "requirements.lock").read_text()


def test_the_top_level_is_the_fixed_one() -> None:
    assert {path.relative_to(PROJECT).parts[0] for path in _tracked()} <= TOP


def test_every_locked_package_has_hashes_and_no_address() -> None:
    lock = _lock()
    blocks = re.split(r"\n(?=[a-z0-9-]+==)", lock)[1:] if lock.startswith("#") else []
    assert len(blocks) == len(PINNED.findall(lock)) > 30
    for block in blocks:
        assert "--hash=sha256:" in block, block
    for line in lock.splitlines():
        assert line.startswith(("#", "    --hash=sha256:", "    #")) or PINNED.match(line + "\n"), line
    assert not ELSEWHERE.search(lock)
    assert "://" not in lock


def test_everything_that_pyproject_asks_for_is_locked() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *project["dependency-groups"]["build"],
        *project["build-system"]["requires"],
    ]
    locked = {name for name, _ in PINNED.findall(_lock())}
    assert {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in wanted} <= locked


def test_the_licence_is_whole() -> None:
    text = (PROJECT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text.splitlines()) > 190


def test_each_version_says_what_it_means_for_privacy() -> None:
    versions = re.split(r"^## ", (PROJECT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert versions
    for version in versions:
        assert "### Privacy" in version, version.splitlines()[0]


def test_decisions_are_titled_and_dated() -> None:
    decisions = sorted((PROJECT / "agent" / "decisions").iterdir())
    assert decisions
    for path in decisions:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+\.md", path.name)
        text = path.read_text()
        title, blank, date, *_ = text.splitlines()
        assert title.startswith("# "), path.name
        assert not blank, path.name
        assert date.startswith(path.name[:10]), path.name


@pytest.mark.parametrize("target", ["demo", "test", "check", "privacy", "soak", "bench", "lock"])
def test_make_has_its_verbs(target: str) -> None:
    assert _run("make", "--dry-run", target)


def test_demo_args_are_passed_on() -> None:
    last = _run("make", "--dry-run", "demo", "DEMO_ARGS=--seconds 60").splitlines()[-1]
    assert last.endswith("dtpr-agent demo --seconds 60")


def test_make_test_leaves_the_soak_to_make_soak() -> None:
    text = (PROJECT / "Makefile").read_text()
    assert text.count('-m "not soak and not privacy"') == 2
    assert "-m soak $(TEST_ARGS)" in text


def test_ci_runs_make_test() -> None:
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    _run("bash", "-n", str(script))
    assert "for tier in test browser privacy" in script.read_text()


def test_no_file_names_the_machine_it_was_made_on() -> None:
    for path in _tracked():
        if path.suffix in (".py", ".md", ".toml", ".lock", ".service", ".conf") or path.name == "Makefile":
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not WORKPLACE.search(line), f"{path}:{number}"
