"""The examples of SPEC.md for every kind, and what holds for all of them."""

import json
from fractions import Fraction

import cbor2
import numpy as np
import pytest

from agent.anonymizer.seal import seal
from agent.contracts import aggregate
from agent.contracts.guarantee import LABEL, NoGuarantee
from agent.contracts.log import decode_entry
from agent.contracts.release import charged, governed
from agent.errors import EncodingError
from agent.wire import cose, senml
from tests import packs
from tests.anonymizer.chi_square import exact_law
from tests.anonymizer.stage import KEY
from tests.anonymizer.test_seal import SPEC, blocks
from tests.packs import COUNT, THRESHOLD_ONLY, TOTALS, UNIQUE, changed

PACKS = SPEC.read_text().partition("## Packs")[2].partition("\n## ")[0]
EXAMPLES = [block for block in blocks() if block in PACKS]


@pytest.mark.parametrize(
    ("place", "name"), [*enumerate(("totals", "threshold-only", "unique", "scalar", "percentiles"))]
)
def test_the_examples_are_what_the_code_makes(place: int, name: str) -> None:
    """AN-47, AN-48."""
    assert len(EXAMPLES) == 6
    head, cells = (part.replace("\n", "") for part in EXAMPLES[place].split("…"))
    payload = aggregate.encode(packs.ALL[name]).decode()
    assert head in payload
    assert payload.endswith("}," + cells)


def test_the_example_in_cbor_is_what_the_code_makes() -> None:
    """AN-62: the records of the JSON, then a filler of zeros."""
    release = seal(COUNT, packs.CHARGE, KEY, cbor=True)
    *_, index, bike, foot, filler = items = cbor2.loads(release.payload)
    assert len(items) == len(json.loads(aggregate.encode(COUNT))) + 1
    words = ", ".join(f"{item}".replace("'", '"') for item in (index, bike, foot))
    assert EXAMPLES[5].strip() == f"{words}, {{0: \"filler\", 8: h'00…00'}}]"
    assert f"whose filler has {len(filler[8])} octets" in PACKS
    assert filler == {0: "filler", 8: bytes(len(filler[8]))}
    assert bytes.fromhex("02c48222190fa0") in release.payload  # 4([-3, 4000])
    assert len(release.payload) < len(aggregate.encode(COUNT))


def test_a_pack_in_cbor_is_signed_as_one() -> None:
    """AN-63."""
    assert cose.decode_sign1(seal(COUNT, packs.CHARGE, KEY, cbor=True).signature).content_type == senml.SENML_CBOR
    assert cose.decode_sign1(seal(COUNT, packs.CHARGE, KEY).signature).content_type is None


@pytest.mark.parametrize("cbor", [False, True])
@pytest.mark.parametrize("name", packs.ALL)
def test_a_release_of_every_kind_is_sealed_and_read(name: str, cbor: bool) -> None:
    """AN-47: with a charge where something is guaranteed, null where nothing is; the label stands in the bytes."""
    window = packs.ALL[name]
    unprotected = isinstance(window.terms.guarantee, NoGuarantee)
    release = seal(window, None if unprotected else packs.CHARGE, KEY, cbor=cbor)
    shown = aggregate.in_cbor(window) if cbor else window
    assert governed(decode_entry(release.encode())) == shown  # type: ignore[arg-type]  # a Release comes back
    assert (LABEL.encode() in release.payload) is unprotected
    assert charged(window, None) is unprotected


def test_another_order_or_padding_is_no_pack() -> None:
    """AN-48."""
    payload = aggregate.encode(UNIQUE)
    number, error = (
        b'{"n":"cell/devices","u":"count","v":412   }',
        b'{"n":"cell/devices_sd","u":"count","v":3.790    }',
    )
    for wrong in (
        payload.replace(b'"v":412   }', b'"v":   412}'),
        payload.replace(b'"v":3.704}', b'"v":3.704 }'),
        payload.replace(b'"v":412   ', b'"v":4.12e2'),
        payload.replace(number + b"," + error, error + b"," + number),
    ):
        assert wrong != payload
        with pytest.raises(EncodingError):
            aggregate.decode(wrong)


def test_what_would_be_too_long_is_known_from_the_terms() -> None:
    """AN-49."""
    for window in (COUNT, TOTALS, THRESHOLD_ONLY):
        assert aggregate.pack_bytes(window.terms) == len(aggregate.encode(window))
    fields = tuple(aggregate.Field(f"class{number:04}", "count", 6) for number in range(1100))
    with pytest.raises(EncodingError, match="bytes"):
        aggregate.pack_bytes(changed(COUNT, fields=fields).terms)


@pytest.mark.parametrize("sigma_squared", [Fraction(1), Fraction(16), Fraction(64), Fraction(900)])
@pytest.mark.parametrize("k", [1, 5, 11])
def test_sums_over_a_threshold_are_low(sigma_squared: Fraction, k: int) -> None:
    """AN-59: by the exact law; noise that lifts a number over the threshold puts back less than 0.13 sigma, so any cell that holds more loses."""
    sigma = float(sigma_squared) ** 0.5
    reach = int(14 * sigma) + 2
    law, noise = exact_law(sigma_squared, reach), np.arange(-reach, reach + 1)
    tau = k + round(2 * sigma)
    for x in range(tau + 1):
        shown = x + noise >= tau
        lifted = float((law * noise)[shown].sum())
        lost = x * float(law[~shown].sum())
        assert x > k or lifted < 0.13 * sigma
        assert lifted < lost or x < 0.13 * sigma
