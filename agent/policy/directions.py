"""The one table of what is stricter for the people near a unit: every field of the policy model, its direction, and why. Pure.

`agent/policy/order` walks two policies with it. A field that is missing here is a test failure, so nobody can add a rule to the model without
saying which way it protects. Stricter means: whatever anybody does near the unit, no more is learnt about them, by nobody else, kept no
longer. Where no code can tell, the direction is OTHER, and the change waits out its notice.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.policy.model import CHANNELS
from agent.policy.vocabulary import PRECISIONS
from agent.policy.words import day_words, exact_words, time_words


class Order(enum.Enum):
    """How two values of a field compare."""

    LESS = "a smaller value is stricter"
    MORE = "a larger value is stricter"
    STEP = "a multiple is stricter, a smaller value laxer, anything between incomparable"
    RANK = "stricter towards the end of a list"
    SET = "stricter with members taken away"
    RANKED_SET = "stricter with members taken away, as long as the others keep their order"
    SENSES = "each member has a sense of its own"
    OFFERED = "stricter when there is one where there was none; any other value is incomparable"
    WINDOW = "judged together with the protection"
    MODE = "judged field by field in the same mode; another mode as a whole"
    PART = "judged field by field"
    NAMED = "parts matched by name: one gone is stricter, one new is laxer"
    OTHER = "any change is incomparable"
    IDENTITY = "another value is another unit: never comparable"
    BOOKKEEPING = "says nothing of what is done"


class Sense(enum.Enum):
    """What adding and taking away one member of a SENSES field means."""

    PERMITS = "adding it is laxer, taking it away stricter"
    PROTECTS = "adding it is stricter, taking it away laxer"
    OPENS = "adding it is laxer; taking it away takes something from residents, too"
    UNCLEAR = "depends on what was meant"


def _text(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


def _list(value: Any) -> str:
    return ", ".join(str(item) for item in value) or "none"


def _days(value: int) -> str:
    return time_words(value * 86_400)


def _windows(value: int) -> str:
    return f"over {value} windows" if value else "none"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Row:
    """One field: its direction, one sentence of reason, what people call it, how its values are written."""

    order: Order
    reason: str
    noun: str
    show: Callable[[Any], str] = _text
    ranks: tuple[str, ...] = ()
    senses: Mapping[str, Sense] | None = None


ACCESS_SENSES: Mapping[str, Sense] = {
    "available_for_resale": Sense.PERMITS,
    "available_to_3rd_parties": Sense.PERMITS,
    "available_to_download": Sense.OPENS,  # a resident who can check the numbers loses that, too
    "available_to_the_accountable_organization": Sense.PERMITS,
    "available_to_vendor": Sense.PERMITS,
    "not_available_to_me": Sense.UNCLEAR,  # fewer see them, and one of those is the resident
    "not_available_to_the_accountable_organization": Sense.PROTECTS,
    "not_available_to_vendor": Sense.PROTECTS,
}

STORAGE_SENSES: Mapping[str, Sense] = {
    "backed_up_internationally": Sense.PERMITS,
    "backed_up_locally": Sense.PERMITS,
    "shared_storage_and_governance": Sense.UNCLEAR,  # more who hold the numbers, and more who decide about them
    "stored_locally": Sense.UNCLEAR,  # one more place beside another, or the promise that there is no other
    "stored_on_3rd_party_cloud": Sense.PERMITS,
    "stored_primarily_internationally": Sense.PERMITS,
    "stored_primarily_locally": Sense.UNCLEAR,
}

CHANNEL_SENSES: Mapping[str, Sense] = dict.fromkeys(CHANNELS, Sense.PROTECTS)
_TEXT = "no code can tell what other words mean"
_WHO = "who answers for the unit is not a matter of more or less"
_WAY = "one more way to reach somebody is a gain; whether another way is better no code can tell"
_PARTS = "its fields are judged each"
_GRID = "a coarser grid of whole old steps says less of each value"
_NARROWER = "without noise, a narrower range says less of extremes"
_RANGE = "a wider range has more noise and shows more of extremes"

TABLE: Mapping[str, Row] = {
    "Policy.version": Row(Order.BOOKKEEPING, "it counts policies; that it only rises is the adopter's rule", "version"),
    "Policy.unit": Row(Order.PART, "its three names say which unit it is", "unit"),
    "Policy.title": Row(Order.OTHER, _TEXT, "title"),
    "Policy.location": Row(Order.PART, _PARTS, "location"),
    "Policy.accountable": Row(Order.PART, _PARTS, "accountable organisation"),
    "Policy.vendors": Row(
        Order.RANKED_SET, "each vendor is one more who has a hand in it; the first leads", "vendors", _list
    ),
    "Policy.contact": Row(Order.PART, _PARTS, "contact"),
    "Policy.purposes": Row(
        Order.RANKED_SET, "each purpose is one more use; the first is the most important", "purposes", _list
    ),
    "Policy.audiences": Row(
        Order.NAMED, "each audience is more people who see and keep the numbers", "audience", senses=ACCESS_SENSES
    ),
    "Policy.denied": Row(Order.SENSES, "an element says who is kept out", "who is kept out", senses=ACCESS_SENSES),
    "Policy.licence": Row(Order.OTHER, "licences permit different things, not more or less of one", "licence"),
    "Policy.community_labels": Row(
        Order.OTHER, "a community's label asks for conduct, which no code can rank", "community labels", _list
    ),
    "Policy.transport": Row(
        Order.RANK, "with TLS nobody on the way can read or change the numbers", "transport", ranks=("any", "tls")
    ),
    "Policy.issued": Row(Order.BOOKKEEPING, "it dates the document", "issued", day_words),
    "Policy.effective": Row(Order.MORE, "a later beginning collects on fewer days", "begins", day_words),
    "Policy.expires": Row(Order.LESS, "an earlier end collects on fewer days", "ends", day_words),
    "Policy.notice_s": Row(Order.MORE, "a longer notice leaves more time to object", "notice", time_words),
    "Policy.period_s": Row(
        Order.OTHER,
        "a longer period spreads the budget over more time, and protects only those counted m times in that longer time",
        "period of the budget",
        time_words,
    ),
    "Policy.cap_rho": Row(Order.LESS, "a smaller cap bounds all streams together more tightly", "budget", exact_words),
    "Policy.collect_within_s": Row(
        Order.LESS,
        "a number that expires earlier in the broker lies around for less long",
        "collected within",
        time_words,
    ),
    "Policy.demo": Row(Order.LESS, "a demonstration may be quicker and may show exact counters", "demonstration", _yes),
    "Policy.streams": Row(
        Order.NAMED, "a stream is known by its name; under another name it is gone and new", "stream"
    ),
    "Unit.city": Row(Order.IDENTITY, "another city", "city"),
    "Unit.site": Row(Order.IDENTITY, "another site", "site"),
    "Unit.name": Row(Order.IDENTITY, "another unit", "unit"),
    "Location.text": Row(Order.OTHER, "no code can tell whether other words name a coarser place", "place"),
    "Location.precision": Row(
        Order.RANK, "a coarser place says less of those who are there", "precision of the place", ranks=PRECISIONS
    ),
    "Organisation.name": Row(Order.OTHER, _WHO, "name of the accountable organisation"),
    "Contact.address": Row(Order.OFFERED, _WAY, "postal address"),
    "Contact.phone": Row(Order.OFFERED, _WAY, "telephone"),
    "Contact.email": Row(Order.OFFERED, _WAY, "e-mail"),
    "Contact.url": Row(Order.OFFERED, _WAY, "web page"),
    "Contact.feedback": Row(
        Order.SENSES,
        "each channel is one more way to ask and to object",
        "channels for feedback",
        senses=CHANNEL_SENSES,
    ),
    "Audience.name": Row(Order.BOOKKEEPING, "audiences are matched by it", "name"),
    "Audience.access": Row(Order.OTHER, "another element is other people", "who they are"),
    "Audience.storage": Row(
        Order.SENSES, "an element is a further copy, or a promise where there is none", "storage", senses=STORAGE_SENSES
    ),
    "Audience.retention_days": Row(Order.LESS, "what is deleted earlier can be misused for less long", "kept", _days),
    "Stream.name": Row(Order.BOOKKEEPING, "streams are matched by it", "name"),
    "Stream.channel": Row(Order.OTHER, "another channel is another sensor's readings", "channel"),
    "Stream.kind": Row(Order.OTHER, "another kind is another number about people", "kind"),
    "Stream.technology": Row(Order.OTHER, "another sensor sees other things", "technology"),
    "Stream.classes": Row(
        Order.SET, "each class is one more thing told apart; their order tells nothing", "classes", _list
    ),
    "Stream.bins_s": Row(
        Order.OTHER, "wider bins say less of each stay, but each wide bin is as exact as a narrow one", "bins", _list
    ),
    "Stream.quantity": Row(Order.OTHER, "another quantity is another measurement", "quantity"),
    "Stream.window_s": Row(
        Order.WINDOW,
        "a longer window of whole old ones says less of when, if one window costs nobody more than those together; a shorter one says more",
        "window",
        time_words,
    ),
    "Stream.grace_s": Row(
        Order.OTHER, "a longer wait counts late readings too, and publishes later", "wait for late readings", time_words
    ),
    "Stream.receivers": Row(Order.SET, "each receiver is one more audience for these numbers", "receivers", _list),
    "Stream.privacy": Row(
        Order.MODE,
        "noise or rounding on top of what was published as measured is stricter, giving up a guarantee is laxer",
        "protection",
        lambda privacy: privacy.mode,
    ),
    "CountPrivacy.rho": Row(
        Order.LESS, "with the same m and c, a smaller rho is more noise", "rho of one person's period", exact_words
    ),
    "CountPrivacy.m": Row(
        Order.MORE,
        "with the same rho, a larger m is more noise and covers people counted more often; a smaller m with the same noise claims less",
        "m, readings of one person in a period",
    ),
    "CountPrivacy.c": Row(
        Order.MORE,
        "as for m: more noise, and people counted more often in one window are covered",
        "c, readings in one window",
    ),
    "CountPrivacy.threshold": Row(Order.PART, _PARTS, "threshold"),
    "CountPrivacy.max_count": Row(
        Order.LESS, "a lower ceiling on a cell says less of busy times", "highest number shown"
    ),
    "CountPrivacy.totals": Row(
        Order.OTHER,
        "with the same rho they tell no more of anybody, but other numbers are published, with other noise",
        "running totals",
        _windows,
    ),
    "Threshold.k": Row(Order.MORE, "a larger crowd is needed before a number is shown", "k, smallest crowd shown"),
    "Threshold.z": Row(
        Order.MORE,
        "a larger margin over the noise is needed before a number is shown",
        "z, margin over the noise",
        exact_words,
    ),
    "ThresholdOnly.k": Row(Order.MORE, "a larger crowd is needed before a number is shown", "k, smallest crowd shown"),
    "ThresholdOnly.max_count": Row(
        Order.LESS, "a lower ceiling on a cell says less of busy times", "highest number shown"
    ),
    "UniquePrivacy.epsilon": Row(
        Order.LESS,
        "with the same number of addresses, a smaller epsilon is more noise",
        "epsilon of one person's window",
        exact_words,
    ),
    "UniquePrivacy.m": Row(
        Order.MORE,
        "the noise is the same, and the claim also covers people who are there more often",
        "m, windows of one person in a period",
    ),
    "UniquePrivacy.addresses": Row(
        Order.MORE,
        "with the same epsilon, more addresses a person are more noise",
        "addresses of one person in a window",
    ),
    "UniquePrivacy.threshold": Row(Order.PART, _PARTS, "threshold"),
    "ScalarPrivacy.rho": Row(
        Order.LESS,
        "with the same m, c and rho of the percentiles, a smaller rho is more noise",
        "rho of one person's period",
        exact_words,
    ),
    "ScalarPrivacy.m": Row(
        Order.MORE,
        "with the same rho, a larger m is more noise and covers longer stays",
        "m, samples of one person in a period",
    ),
    "ScalarPrivacy.c": Row(
        Order.MORE, "with the same rho, a larger c is more noise and covers longer stays", "c, samples in one window"
    ),
    "ScalarPrivacy.low": Row(Order.OTHER, _RANGE, "lowest value", exact_words),
    "ScalarPrivacy.high": Row(Order.OTHER, _RANGE, "highest value", exact_words),
    "ScalarPrivacy.step": Row(Order.STEP, _GRID, "step", exact_words),
    "ScalarPrivacy.samples": Row(
        Order.LESS,
        "with fewer samples a window, m and c samples cover a longer stay, and the mean is noisier",
        "samples a window",
    ),
    "ScalarPrivacy.percentiles": Row(
        Order.SET, "each percentile is one more number told of the same samples", "percentiles", _list
    ),
    "ScalarPrivacy.percentiles_rho": Row(
        Order.OTHER,
        "with the same rho, what the percentiles take is missing to the mean: one has more noise, the other less",
        "rho of the percentiles",
        exact_words,
    ),
    "CoarsePrivacy.aggregation": Row(Order.OTHER, "a median and a mean tell different things", "aggregation"),
    "CoarsePrivacy.min_samples": Row(
        Order.MORE, "more samples are needed before a value is shown", "fewest samples behind a value"
    ),
    "CoarsePrivacy.low": Row(Order.MORE, _NARROWER, "lowest value", exact_words),
    "CoarsePrivacy.high": Row(Order.LESS, _NARROWER, "highest value", exact_words),
    "CoarsePrivacy.step": Row(Order.STEP, _GRID, "step", exact_words),
    "NoPrivacy.low": Row(Order.MORE, _NARROWER, "lowest value", exact_words),
    "NoPrivacy.high": Row(Order.LESS, _NARROWER, "highest value", exact_words),
    "NoPrivacy.step": Row(Order.STEP, _GRID, "step", exact_words),
}
"""Class.field -> its row."""
