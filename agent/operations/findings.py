"""What an audit can find, each by one name and in words. Pure."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

MAX_SHOWN = 50
"""Findings of one kind that are kept with their place; more are counted."""


class Kind(StrEnum):
    """The name of a finding; WORDS says what it means."""

    # the log as a whole
    CHECKPOINT_SIGNATURE = "checkpoint-signature"
    OTHER_UNIT = "other-unit"
    ROOT = "root"
    FORKED_LOG = "forked-log"
    ROLLED_BACK = "rolled-back"
    FALSE_LOSS = "false-loss"
    HIDDEN_BY_LOSS = "hidden-by-loss"
    CARRIED_STATE = "carried-state"
    KEY_ROTATION = "key-rotation"
    # its entries
    MALFORMED = "malformed"
    OUT_OF_PLACE = "out-of-place"
    WINDOW_TWICE = "window-twice"
    OUT_OF_ORDER = "out-of-order"
    GAP_HIDDEN = "gap-hidden"
    RELEASE_SIGNATURE = "release-signature"
    WRONG_DIGEST = "wrong-digest"
    WRONG_NOISE = "wrong-noise"
    WRONG_THRESHOLD = "wrong-threshold"
    WRONG_GUARANTEE = "wrong-guarantee"
    WRONG_SHAPE = "wrong-shape"
    BELOW_THRESHOLD = "below-threshold"
    IMPOSSIBLE_NUMBER = "impossible-number"
    WRONG_TOTAL = "wrong-total"
    COVERAGE = "coverage"
    WITHHELD = "released-while-withheld"
    # budget
    NULL_CHARGE = "null-charge"
    CHARGE_TOO_SMALL = "charge-too-small"
    WRONG_CHARGE = "wrong-charge"
    BUDGET_EXCEEDED = "budget-exceeded"
    BUDGET_UNPROVEN = "budget-unproven"
    # governance
    POLICY_NOT_IN_FORCE = "policy-not-in-force"
    NOT_OFFERED = "not-offered"
    WITHOUT_NOTICE = "without-notice"
    IMPOSSIBLE_NOTICE = "impossible-notice"
    WRONG_BEGINNING = "wrong-beginning"
    UNSIGNED = "unsigned"
    VERSION_BACK = "version-back"
    AFTER_STOP = "released-while-stopped"
    AFTER_EXPIRY = "released-after-expiry"
    CLOCK_BACK = "clock-back"
    OTHER_DISCLOSURE = "other-disclosure"
    # the gate
    WHILE_CLOSED = "released-while-closed"
    GATE_UNTOLD = "gate-untold"
    GATE_BACK = "gate-back"
    # what was received
    TWO_PAYLOADS = "two-payloads"
    ALTERED = "altered"
    NOT_IN_LOG = "not-in-log"
    FORGED = "forged"
    # what was read over the air
    AIR_SIGNATURE = "air-signature"
    AIR_NOT_IN_LOG = "air-not-in-log"


WORDS: dict[Kind, str] = {
    Kind.CHECKPOINT_SIGNATURE: "a checkpoint is not signed by the unit's key",
    Kind.OTHER_UNIT: "it is another unit's",
    Kind.ROOT: "the entries do not have the root that the checkpoint signs: something was removed, added, changed or moved",
    Kind.FORKED_LOG: "two checkpoints contradict each other: the unit has shown two histories",
    Kind.ROLLED_BACK: "the log is shorter than a checkpoint that was seen before",
    Kind.FALSE_LOSS: "the log says that it follows one that was lost in part, and does not show which, or shows another than it is named for",
    Kind.HIDDEN_BY_LOSS: "a log that follows a loss has less of before than there was: a window at a lower charge, or none, or a decision too few",
    Kind.CARRIED_STATE: "the first entry of a bundle does not say what the entries before it come to",
    Kind.KEY_ROTATION: "a change of the signing key that the old key did not sign or that does not fit, or something signed with the old key after it",
    Kind.MALFORMED: "an entry is not one that this program writes",
    Kind.OUT_OF_PLACE: "a Release does not stand where its own log index says: it was inserted, moved, or one before it is gone",
    Kind.WINDOW_TWICE: "a window was released twice",
    Kind.OUT_OF_ORDER: "a window comes after a later one",
    Kind.GAP_HIDDEN: "windows are missing, and no entry accounts for them",
    Kind.RELEASE_SIGNATURE: "a Release is not signed by the unit's key",
    Kind.WRONG_DIGEST: "a Release names another disclosure than the one in force",
    Kind.WRONG_NOISE: "a Release states other noise than its policy asks for",
    Kind.WRONG_THRESHOLD: "a Release states another threshold than its policy asks for",
    Kind.WRONG_GUARANTEE: "a Release states another guarantee than its policy",
    Kind.WRONG_SHAPE: "a Release has other cells, another unit, window or length than its policy gives it",
    Kind.BELOW_THRESHOLD: "a number below the threshold was published",
    Kind.IMPOSSIBLE_NUMBER: "a number or word that no window of such a stream can have",
    Kind.WRONG_TOTAL: "a running total is not the sum of the numbers since it began, or cannot have begun then",
    Kind.WITHHELD: "numbers were released while an older policy's promise held that this stream's noise cannot keep",
    Kind.COVERAGE: "numbers were published of a window of which less than half was measured",
    Kind.NULL_CHARGE: "a window of a stream with a guarantee has no charge",
    Kind.CHARGE_TOO_SMALL: "a window is charged less than its noise costs",
    Kind.WRONG_CHARGE: "a window is charged otherwise than its noise costs, or where nothing is guaranteed",
    Kind.BUDGET_EXCEEDED: "a Release spent more than the policy's cap in one period",
    Kind.BUDGET_UNPROVEN: "charges so entangled that what a period cost takes longer to work out than any honest log's",
    Kind.POLICY_NOT_IN_FORCE: "a window was released under a policy that was not in force",
    Kind.NOT_OFFERED: "a policy was taken that is not the one on notice",
    Kind.WITHOUT_NOTICE: "a policy was taken before its notice was served",
    Kind.IMPOSSIBLE_NOTICE: "more notice is claimed than time had passed, or for what was not on notice",
    Kind.WRONG_BEGINNING: "a policy begins at another instant than its dates and windows allow",
    Kind.UNSIGNED: "a policy, stop order or trust root is not signed by enough of those who may",
    Kind.VERSION_BACK: "a policy is not newer than those before it",
    Kind.AFTER_STOP: "numbers were released while a stop order held",
    Kind.AFTER_EXPIRY: "numbers were released after the policy had expired",
    Kind.CLOCK_BACK: "an entry is dated before one that precedes it",
    Kind.OTHER_DISCLOSURE: "a disclosure shown to people is not that of the policy that the log has under its digest",
    Kind.WHILE_CLOSED: "more of a window was measured than the gate was open in it, by the log's own word",
    Kind.GATE_UNTOLD: "the gate's history has a hole: measured windows, and nothing says how the gate stood",
    Kind.GATE_BACK: "the gate's history goes back in time, or has more open time than time",
    Kind.TWO_PAYLOADS: "two payloads were received for one window",
    Kind.ALTERED: "what was received differs from what the log holds for the window",
    Kind.NOT_IN_LOG: "a Release was received that the log does not hold",
    Kind.FORGED: "something was received that the unit did not sign",
    Kind.AIR_SIGNATURE: "what was read over the air is not signed by the unit's key",
    Kind.AIR_NOT_IN_LOG: "a disclosure was on air, or announced, that the log never names",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fraud or fault: where (an entry, a line, a file), and what exactly."""

    kind: Kind
    where: str
    words: str


class Findings:
    """Collects, in bounded memory."""

    def __init__(self) -> None:
        self.shown: list[Finding] = []
        self.counts: Counter[Kind] = Counter()

    def add(self, kind: Kind, where: str, words: str) -> None:
        """Note one."""
        self.counts[kind] += 1
        if self.counts[kind] <= MAX_SHOWN:
            self.shown.append(Finding(kind, where, words))

    @property
    def kinds(self) -> set[Kind]:
        """Those that occurred."""
        return set(self.counts)
