"""Our units as systemd itself sees them: clean, little exposed, with the owners and modes that DESIGN.md section 2 asks for."""

import os
from pathlib import Path

import pytest

from tests.systemd.installation import MAX_EXPOSURE, PYTHON, Installation, install

FOLDERS = {
    # path: mode, user, group
    "run/dtpr": (0o710, "root", "dtpr-inbox"),
    "run/dtpr-public": (0o755, "dtpr-anonymizer", "dtpr-anonymizer"),
    "run/dtpr-status": (0o755, "root", "root"),
    "run/dtpr-status/firmware-bridge": (0o755, "dtpr-bridge", "dtpr-bridge"),
    "run/dtpr-status/anonymizer": (0o755, "dtpr-anonymizer", "dtpr-anonymizer"),
    "run/dtpr-status/publisher": (0o755, "dtpr-publisher", "dtpr-publisher"),
    "run/dtpr-status/beacon": (0o755, "dtpr-beacon", "dtpr-beacon"),
    "var/lib/dtpr": (0o711, "dtpr-anonymizer", "dtpr-anonymizer"),
    "var/lib/dtpr/log": (0o2750, "dtpr-anonymizer", "dtpr-log"),
    "var/lib/dtpr-offer": (0o1730, "dtpr-anonymizer", "dtpr-publisher"),
    "var/lib/dtpr-publisher": (0o700, "dtpr-publisher", "dtpr-publisher"),
    "etc/dtpr": (0o755, "root", "root"),
}


@pytest.fixture(name="installed")
def _installed(tmp_path: Path) -> Installation:
    return install(tmp_path / "root")


def test_systemd_finds_nothing_to_say_about_our_units(installed: Installation) -> None:
    assert installed.verify() == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[Service]\nProtectSistem=strict\n", "ProtectSistem"),
        ("[Unit]\nRequires=dtpr-absent.service\n", "dtpr-absent.service"),
        ("[Service]\nExecStart=\nExecStart=/usr/lib/dtpr/bin/absent\n", "absent"),
    ],
    ids=["unknown option", "unknown unit", "unknown program"],
)
def test_verification_would_find_a_fault(installed: Installation, wrong: str, said: str) -> None:
    """Negative control: the same verification names each kind of fault, in a drop-in too."""
    folder = installed.root / "usr/lib/systemd/system/dtpr-beacon.service.d"
    folder.mkdir()
    (folder / "wrong.conf").write_text(wrong)
    assert said in installed.verify()


def test_verification_needs_the_interpreter(installed: Installation) -> None:
    """Negative control: the interpreter that the root holds is the one that the units name."""
    (installed.root / PYTHON).unlink()
    assert PYTHON in installed.verify()


def test_each_service_is_exposed_no_more_than_stated(installed: Installation) -> None:
    assert max(MAX_EXPOSURE.values()) <= 2.0
    levels = installed.exposure()
    assert levels.keys() == MAX_EXPOSURE.keys()
    for name, level in levels.items():
        assert level <= MAX_EXPOSURE[name], name


def test_exposure_would_show_a_wall_taken_down(installed: Installation) -> None:
    """Negative control: without the shared drop-in every service is far above its maximum."""
    (installed.root / "usr/lib/systemd/system/dtpr-.service.d/hardening.conf").unlink()
    for name, level in installed.exposure().items():
        assert level > MAX_EXPOSURE[name] + 2, name


def test_accounts_are_four_users_of_their_own(installed: Installation) -> None:
    """One user a daemon (DESIGN.md section 2); nobody is made a member of another's group."""
    installed.create_accounts()
    users = ("dtpr-bridge", "dtpr-anonymizer", "dtpr-publisher", "dtpr-beacon")
    accounts = [installed.account(user) for user in users]
    assert len({account.uid for account in accounts}) == len(users)
    assert len({account.gid for account in accounts}) == len(users)
    for line in (installed.root / "etc/passwd").read_text().splitlines():
        assert line.endswith(":/usr/sbin/nologin")
    for line in (installed.root / "etc/group").read_text().splitlines():
        assert line.endswith(":"), f"{line}: memberships are the units' to give"


@pytest.mark.skipif(os.geteuid() != 0, reason="systemd-tmpfiles gives folders to other users: needs root")
def test_folders_have_their_one_writer(installed: Installation) -> None:
    """The table of folders (DESIGN.md section 2): every folder, its mode, its owner; nothing besides."""
    before = {path for top in ("run", "var") for path in (installed.root / top).rglob("*")}
    assert not before
    installed.create_accounts()
    installed.create_folders()
    made = {}
    for top in ("run", "var", "etc/dtpr"):
        for path in [installed.root / top, *(installed.root / top).rglob("*")]:
            made[str(path.relative_to(installed.root))] = path.stat()
    for bare in ("run", "var", "var/lib"):
        made.pop(bare)
    assert made.keys() == FOLDERS.keys()
    for name, (mode, user, group) in FOLDERS.items():
        status = made[name]
        owner = 0 if user == "root" else installed.account(user).uid
        group_number = 0 if group == "root" else installed.group(group)
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (mode, owner, group_number), name


@pytest.mark.skipif(os.geteuid() != 0, reason="systemd-tmpfiles gives files to other users: needs root")
def test_keys_are_closed_to_everyone_but_their_reader(installed: Installation) -> None:
    """The signing key is root's, read by systemd alone and handed over as a credential; the broker's secrets are the publisher's."""
    installed.create_accounts()
    keys = installed.root / "etc/dtpr"
    keys.mkdir()
    for name in ("unit-key", "unit-key.next", "tls-key.pem", "mqtt-password"):
        (keys / name).write_text("a secret, carelessly copied here")
        (keys / name).chmod(0o644)
    installed.create_folders()
    publisher = installed.account("dtpr-publisher")
    for name, owner in (
        ("unit-key", (0, 0)),
        ("unit-key.next", (0, 0)),
        ("tls-key.pem", (publisher.uid, publisher.gid)),
        ("mqtt-password", (publisher.uid, publisher.gid)),
    ):
        status = (keys / name).stat()
        assert (status.st_mode & 0o777, (status.st_uid, status.st_gid)) == (0o400, owner), name
