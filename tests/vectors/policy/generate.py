"""Writes the broken policies beside this file: one scenario each, made from `GOOD` by one replacement.

The first line of each is `# expect: LINE: FRAGMENT`: the line that the error names and a part of its message. Run it from the root of
the repository: `python tests/vectors/policy/generate.py`. A test checks that the files are what it writes.
"""

from pathlib import Path

GOOD = """\
# expect: ok
schema = 1
version = 3
transport = "tls"

[unit]
city = "springfield"
site = "river-bridge"
name = "bridge-01"
title = "Bike and foot counter, River Bridge"

[location]
text = "River Bridge, west side"
precision = "street"

[accountable]
name = "City of Springfield"
vendors = ["Kerbside Sensors Ltd"]

[contact]
address = "1 Main Street, Springfield"
phone = "+1 555 0100"
email = "data@springfield.example"
url = "https://springfield.example/sensors"
feedback = ["url", "phone"]

[purpose]
elements = ["mobility", "planning_decision_making"]

[[audience]]
name = "city"
access = "available_to_the_accountable_organization"
storage = ["stored_locally"]
kept = "730 days"

[[audience]]
name = "public"
access = "available_to_download"
storage = ["stored_locally"]
kept = "730 days"

[access]
denied = []

[data]
licence = "CC-BY-4.0"
community_labels = []
collect_within = "7 days"

[dates]
issued = 2026-09-01
effective = 2026-09-15
expires = 2028-09-15
notice = "14 days"

[budget]
period = "24 hours"
cap_rho = 0.125

[[stream]]
name = "crossings"
channel = "crossings"
kind = "count"
technology = "passive_infrared_sensor"
classes = ["bike", "foot"]
window = "15 minutes"
grace = "10 seconds"
receivers = ["city", "public"]

[stream.privacy]
mode = "dp"
rho = 0.125
m = 4
c = 1
k = 5
z = 2
max_count = 5000
totals = "none"
"""

SECOND_STREAM = """\

[[stream]]
name = "NAME"
channel = "noise"
kind = "count"
technology = "radar"
classes = ["car"]
window = "1 hour"
grace = "10 seconds"
receivers = ["city"]

[stream.privacy]
mode = "dp"
rho = 0.125
m = 4
c = 1
k = 5
z = 2
max_count = 5000
totals = "none"
"""

STREAM = GOOD[GOOD.index("[[stream]]") :]


def another(kind: str, mode: str, technology: str, *lines: str, window: str = "1 hour") -> str:
    """A stream of another kind; the lines before "" are its own, those after it its privacy's."""
    own, stated = lines[: lines.index("")], lines[lines.index("") + 1 :]
    head = ("[[stream]]", 'name = "other"', 'channel = "other"', f'kind = "{kind}"', f'technology = "{technology}"')
    common = (f'window = "{window}"', 'grace = "10 seconds"', 'receivers = ["city", "public"]')
    return "\n".join([*head, *own, *common, "", "[stream.privacy]", f'mode = "{mode}"', *stated]) + "\n"


DURATION = another(
    *("duration", "dp", "induction_loop", 'classes = ["bay"]', 'bins = ["5 minutes", "1 hour"]', ""),
    *("rho = 0.125", "m = 4", "c = 1", "k = 5", "z = 2", "max_count = 5000"),
)
THRESHOLD_ONLY = another("count", "threshold-only", "radar", 'classes = ["car"]', "", "k = 10", "max_count = 5000")
UNIQUE = another(
    *("unique", "dp", "identifiable_wifi_sensor", "", "epsilon = 0.25", "m = 4", "addresses = 2", "k = 5", "z = 2"),
    window="5 minutes",
)
SOUND = another(
    *("scalar", "dp", "sound_level_meter", 'quantity = "sound_level"', "", "rho = 0.125", "m = 60", "c = 60"),
    *("low = 30", "high = 100", "step = 0.1", "samples = 3600"),
)
PERCENTILES = SOUND.replace('"1 hour"', '"8 hours"').replace("samples = 3600", "samples = 28800")
PERCENTILES += "percentiles = [10, 50, 90]\npercentiles_rho = 0.0625\n"
COARSE = another(
    *("scalar", "coarse", "sound_level_meter", 'quantity = "sound_level"', "", 'aggregation = "mean"'),
    *("min_samples = 600", "low = 30", "high = 100", "step = 5"),
)
NONE = another(
    *("scalar", "none", "air_quality", 'quantity = "pm2_5"', "", "low = 0", "high = 1000", "step = 0.1"),
)
OTHERS = (DURATION, THRESHOLD_ONLY, UNIQUE, SOUND, PERCENTILES, COARSE, NONE)
"""Good streams of the other kinds and modes."""


def instead(stream: str, old: str, new: str) -> tuple[str, str]:
    """The good policy's stream replaced by a broken one of another kind."""
    assert old in stream, old
    return STREAM, stream.replace(old, new, 1)


CASES: dict[str, tuple[str, str, str, str]] = {
    # name: (text replaced, replacement, what the expected line contains, fragment of the message)
    "not-toml": ("version = 3", "version 3", "version 3", "expected TOML 1.0"),
    "unclosed-string": ('city = "springfield"', 'city = "springfield', 'city = "', "expected TOML 1.0"),
    "key-twice": ("version = 3", "version = 3\nversion = 4", "version = 4", "expected TOML 1.0"),
    "other-schema": ("schema = 1", "schema = 2", "schema = 2", "expected 1, the version of this file's form, got 2"),
    "version-zero": ("version = 3", "version = 0", "version = 0", "got 0"),
    "version-a-text": (
        "version = 3",
        'version = "3"',
        "version =",
        "expected a whole number from 1 to 2147483647, got '3'",
    ),
    "unknown-top-key": ("version = 3", "version = 3\ndebug = true", "debug", "expected a known key, got 'debug'"),
    "unknown-table": ("[budget]", "[budgets]", "# expect", "is 'budgets' at"),
    "misspelt-key": ('site = "', 'sites = "', "[unit]", "is 'sites' at"),
    "missing-title": (
        'title = "Bike and foot counter, River Bridge"\n',
        "",
        "[unit]",
        "expected a short title of the unit, got nothing",
    ),
    "city-with-slash": ('"springfield"', '"spring/field"', "city", "one MQTT topic level"),
    "city-with-wildcard": ('"springfield"', '"+"', "city", "one MQTT topic level"),
    "unit-name-too-long": ('"bridge-01"', '"bridge-number-0001"', "name = ", "of 1 to 17 characters, got 18"),
    "title-with-newline": ("foot counter,", "foot\\ncounter,", "title", "printable on one line"),
    "title-with-direction": ("foot counter,", "foot\\u202ecounter,", "title", "printable on one line"),
    "title-too-wordy": ("River Bridge", "x " * 15 + "y", "title", "at most 15 words"),
    "title-with-blank-end": ('River Bridge"', 'River Bridge "', "title", "without blanks at its ends"),
    "url-without-tls": ('url = "https:', 'url = "http:', "url =", "begins https://"),
    "address-empty": ("1 Main Street, Springfield", "", "address", "of 1 to 120 characters, got 0"),
    "phone-with-letters": ('"+1 555 0100"', '"+1 555 CITY"', "phone", "expected a phone number, got '+1 555 CITY'"),
    "email-without-at": ('"data@spring', '"data.spring', "email", "expected an e-mail address"),
    "feedback-missing": (
        'feedback = ["url", "phone"]\n',
        "",
        "[contact]",
        "contact.feedback: expected an array of feedback channels, got nothing",
    ),
    "feedback-none": ('["url", "phone"]', "[]", "feedback = []", "expected 1 to 4 feedback channels, got 0"),
    "feedback-by-fax": ('["url", "phone"]', '["fax"]', "fax", "expected a feedback channel, got 'fax'"),
    "feedback-not-given": (
        'phone = "+1 555 0100"\n',
        "",
        "feedback",
        "expected a channel that this table gives, got 'phone'; add phone",
    ),
    "vendor-twice": (
        '["Kerbside Sensors Ltd"]',
        '["Kerbside Sensors Ltd", "Kerbside Sensors Ltd"]',
        "vendors",
        "'Kerbside Sensors Ltd' twice",
    ),
    "vendors-six": ('["Kerbside Sensors Ltd"]', '["A", "B", "C", "D", "E", "F"]', "vendors", "0 to 5 names of vendors"),
    "vendors-missing": (
        'vendors = ["Kerbside Sensors Ltd"]\n',
        "",
        "[accountable]",
        "accountable.vendors: expected an array of names of vendors, got nothing",
    ),
    "location-missing": ("[location]", "[place]", "# expect", "location: expected a table"),
    "location-precision-unknown": (
        'precision = "street"',
        'precision = "strict"',
        "precision",
        "one of exact, street, neighbourhood, city, got 'strict'; did you mean 'street'?",
    ),
    "transport-missing": ('transport = "tls"\n', "", "# expect", "transport: expected one of tls, any, got nothing"),
    "transport-plain": ('transport = "tls"', 'transport = "tcp"', "transport", "expected one of tls, any, got 'tcp'"),
    "licence-misspelt": ("CC-BY-4.0", "CC-BY-4", "licence", "did you mean 'CC-BY-4.0'?"),
    "licence-for-programs": ("CC-BY-4.0", "Apache-2.0", "licence", "an SPDX id of a licence for data"),
    "licence-ref-empty": ("CC-BY-4.0", "LicenseRef-", "licence", '"LicenseRef-…" for terms of your own'),
    "label-unknown": (
        "community_labels = []",
        'community_labels = ["tk-attributions"]',
        "community_labels",
        "a Local Contexts label, got 'tk-attributions'; did you mean 'tk-attribution'?",
    ),
    "access-to-own-numbers": (
        '"available_to_download"',
        '"available_to_me"',
        "available_to_me",
        "expected one of available_for_resale",
    ),
    "access-contradiction": (
        "denied = []",
        'denied = ["not_available_to_the_accountable_organization"]',
        "denied",
        "available_to_the_accountable_organization or not_available_to_the_accountable_organization, got both",
    ),
    "access-open-but-not-to-me": (
        "denied = []",
        'denied = ["not_available_to_me"]',
        "not_available_to_me",
        "available_to_download or not_available_to_me, got both",
    ),
    "access-denied-by-a-grant": (
        "denied = []",
        'denied = ["available_to_vendor"]',
        "denied",
        "not_available_…",
    ),
    "audience-none": (
        GOOD[GOOD.index("[[audience]]") : GOOD.index("[access]")],
        "",
        "# expect",
        "at least one [[audience]], got nothing",
    ),
    "audience-twice": (
        'name = "public"',
        'name = "city"',
        'name = "city"',
        "a name that no other audience has, got 'city'",
    ),
    "audience-that-receives-nothing": (
        '["city", "public"]',
        '["city"]',
        'name = "public"',
        "expected an audience that receives a stream, got 'public'; no stream names it",
    ),
    "receiver-unknown": (
        '["city", "public"]',
        '["city", "public", "police"]',
        "receivers",
        "expected the name of an [[audience]], got 'police'",
    ),
    "receivers-none": ('["city", "public"]', "[]", "receivers", "1 to 6 names of audiences, got 0"),
    "receivers-missing": (
        'receivers = ["city", "public"]\n',
        "",
        "[[stream]]",
        "receivers: expected an array of names of audiences, got nothing",
    ),
    "storage-unknown": (
        '["stored_locally"]',
        '["stored_nowhere"]',
        "stored_nowhere",
        "a DTPR storage element, got 'stored_nowhere'",
    ),
    "storage-contradiction": (
        '["stored_locally"]',
        '["stored_locally", "stored_primarily_internationally"]',
        "stored_primarily_internationally",
        "stored_locally or stored_primarily_internationally, got both",
    ),
    "cap-zero": (
        "cap_rho = 0.125",
        "cap_rho = 0",
        "cap_rho",
        "the sum of rho over all streams, 0.125, got 0",
    ),
    "mode-missing": (
        'mode = "dp"\n',
        "",
        "[stream.privacy]",
        "privacy.mode: expected one of dp, threshold-only, got nothing",
    ),
    "mode-none-for-a-count": ('mode = "dp"', 'mode = "none"', "mode", "expected one of dp, threshold-only, got 'none'"),
    "mode-threshold-only-with-noise": (
        'mode = "dp"\nrho = 0.125',
        'mode = "threshold-only"\nrho = 0.125  # noise',
        "# noise",
        "expected a known key, got 'rho'",
    ),
    "bins-of-a-count": (
        "receivers = ",
        'bins = ["1 minute"]\nreceivers = ',
        "bins",
        "expected a known key, got 'bins'",
    ),
    "purpose-misspelt": ('"mobility", ', '"mobilty", ', '"mobilty"', "did you mean 'mobility'?"),
    "purpose-four": (
        '["mobility", ',
        '["mobility", "health", "ecology", ',
        "ecology",
        "expected 1 to 3 DTPR purpose elements, got 4",
    ),
    "purpose-none": ('["mobility", "planning_decision_making"]', "[]", "elements = []", "expected 1 to 3 DTPR purpose"),
    "purpose-twice": ('"planning_decision_making"', '"mobility"', '"mobility"', "'mobility' twice"),
    "purpose-on-its-own-line": (
        '["mobility", "plan',
        '[\n  "mobility",\n  "plam',
        '  "plam',
        "did you mean 'planning_decision_making'?",
    ),
    "retention-as-number": (
        'kept = "730 days"',
        "kept = 730",
        "kept = 730",
        'a length of time such as "15 minutes", got 730',
    ),
    "retention-in-part-days": ('kept = "730 days"', 'kept = "36 hours"', 'kept = "36', "expected whole days"),
    "retention-in-months": (
        'kept = "730 days"',
        'kept = "24 months"',
        'kept = "24',
        "seconds, minutes, hours, days or weeks",
    ),
    "date-as-text": ("issued = 2026-09-01", 'issued = "2026-09-01"', "issued", "a date such as 2026-09-01"),
    "date-without-zone": ("issued = 2026-09-01", "issued = 2026-09-01T08:00:00", "issued", "a time without Z"),
    "date-in-half-seconds": (
        "issued = 2026-09-01",
        "issued = 2026-09-01T00:00:00.5Z",
        "issued",
        "a time in whole seconds",
    ),
    "date-impossible": ("issued = 2026-09-01", "issued = 2026-02-30", "issued", "expected TOML 1.0"),
    "date-long-ago": ("issued = 2026-09-01", "issued = 1970-01-01", "issued", "a year from 2020 to 2199, got 1970"),
    "effective-before-issued": ("effective = 2026-09-15", "effective = 2026-08-31", "effective", "issued or later"),
    "expires-with-effective": ("expires = 2028-09-15", "expires = 2026-09-15", "expires", "later than effective"),
    "expires-after-five-years": (
        "expires = 2028-09-15",
        "expires = 2031-09-03",
        "expires",
        "at most 5 years after issued",
    ),
    "notice-too-short": (
        'notice = "14 days"',
        'notice = "23 hours"',
        "notice",
        "expected at least 1 day, got 23 hours",
    ),
    "notice-missing": ('notice = "14 days"\n', "", "[dates]", "dates.notice: expected a length of time"),
    "period-short-of-a-day": ('"24 hours"', '"12 hours"', "period", "expected 24 hours, got 12 hours"),
    "period-beyond-a-day": ('"24 hours"', '"2 days"', "period", "to 1 day, got '2 days'"),
    "period-missing": ('period = "24 hours"\n', "", "[budget]", "budget.period: expected a length of time"),
    "cap-below-the-sum": (
        "cap_rho = 0.125",
        "cap_rho = 0.12",
        "cap_rho",
        "the sum of rho over all streams, 0.125, got 0.12",
    ),
    "cap-below-two-streams": (
        'totals = "none"\n',
        'totals = "none"\n' + SECOND_STREAM.replace("NAME", "cars"),
        "cap_rho",
        "the sum of rho over all streams, 0.25",
    ),
    "no-stream": (GOOD[GOOD.index("[[stream]]") :], "", "# expect", "at least one [[stream]], got nothing"),
    "stream-not-an-array": ("[[stream]]", "[stream]", "[stream]", "at least one [[stream]], got a table"),
    "stream-name-twice": (
        "cap_rho = 0.125",
        "cap_rho = 0.25",
        'name = "crossings"  # again',
        "a name that no other stream has, got 'crossings'",
    ),
    "stream-name-upper-case": (
        'name = "crossings"',
        'name = "Crossings"',
        'name = "Crossings"',
        "a lower-case stream name",
    ),
    "channel-with-dash": (
        'channel = "crossings"',
        'channel = "cross-ings"',
        "channel",
        "the name of a board's channel",
    ),
    "kind-not-yet": ('kind = "count"', 'kind = "counts"', "kind", "did you mean 'count'?"),
    "technology-misspelt": (
        '"passive_infrared_sensor"',
        '"pasive_infrared_sensor"',
        "technology",
        "did you mean 'passive_infrared_sensor'?",
    ),
    "technology-that-cannot-count": (
        '"passive_infrared_sensor"',
        '"identifiable_wifi_sensor"',
        "technology",
        "expected one of",
    ),
    "class-upper-case": ('"bike", "foot"', '"bike", "Foot"', "classes", "lower-case class names, got 'Foot'"),
    "class-twice": ('"bike", "foot"', '"bike", "bike"', "classes", "'bike' twice"),
    "class-none": ('["bike", "foot"]', "[]", "classes", "expected 1 to 64 lower-case class names, got 0"),
    "class-sixty-five": ('["bike", "foot"]', str([f"c{i}" for i in range(65)]), "classes", "got 65"),
    "window-of-seven-minutes": ('"15 minutes"', '"7 minutes"', "window", "divides a day without rest"),
    "window-of-two-days": ('"15 minutes"', '"2 days"', "window", "to 1 day"),
    "window-of-half-a-second": ('"15 minutes"', '"0.5 seconds"', "window", "from 1 second"),
    "window-with-a-fraction": ('"15 minutes"', '"1.5 seconds"', "window", "expected whole seconds, got 1.5 seconds"),
    "window-without-unit": ('"15 minutes"', '"900"', "window", "a length of time such as \"15 minutes\", got '900'"),
    "window-abbreviated": ('"15 minutes"', '"15 min"', "window", "write a number, one blank and seconds, minutes"),
    "grace-as-long-as-the-window": ('"10 seconds"', '"15 minutes"', "grace", "less than the window of 15 minutes"),
    "grace-negative": ('"10 seconds"', '"-1 seconds"', "grace", "a length of time"),
    "privacy-missing": (GOOD[GOOD.index("[stream.privacy]") :], "", "[[stream]]", "privacy: expected a table"),
    "classes-of-a-scalar": (
        *instead(SOUND, "quantity", 'classes = ["loud"]\nquantity'),
        "classes",
        "expected a known key, got 'classes'",
    ),
    "quantity-missing": (
        *instead(SOUND, 'quantity = "sound_level"\n', ""),
        "[[stream]]",
        "quantity: expected one of air_humidity",
    ),
    "quantity-misspelt": (*instead(SOUND, '"sound_level"', '"sound_levle"'), "quantity", "did you mean 'sound_level'?"),
    "quantity-of-another-sensor": (
        *instead(NONE, "air_quality", "induction_loop"),
        "technology",
        "expected one of air_quality",
    ),
    "none-for-what-people-cause": (
        *instead(NONE, "pm2_5", "sound_level"),
        "mode",
        "expected a protected mode for sound_level, got 'none'; people cause it: use dp or coarse",
    ),
    "none-in-a-private-room": (
        *instead(NONE, "pm2_5", "co2_indoor"),
        "mode",
        "expected a protected mode for co2_indoor, got 'none'; people cause it: use dp",
    ),
    "coarse-in-a-private-room": (
        *instead(COARSE, '"sound_level"', '"power_indoor"'),
        "mode",
        "expected a protected mode for power_indoor, got 'coarse'; it tells of the few people in a room: use dp",
    ),
    "none-from-a-sensor-of-people": (
        *instead(
            NONE + SOUND.replace("other", "sound"), 'technology = "air_quality"', 'technology = "sound_level_meter"'
        ),
        'mode = "none"',
        "its sensor also serves sound, which people cause",
    ),
    "bare-beside-a-guarantee": (
        STREAM,
        STREAM + "\n" + THRESHOLD_ONLY.replace('channel = "other"', 'channel = "crossings"'),
        'mode = "threshold-only"',
        "expected dp, as crossings promises a guarantee for channel crossings, got 'threshold-only'",
    ),
    "low-above-high": (*instead(SOUND, "low = 30", "low = 130"), "high", "expected more than low = 130, got 100"),
    "step-that-does-not-fit": (*instead(SOUND, "step = 0.1", "step = 0.3"), "step", "both low and high are multiples"),
    "step-too-fine": (*instead(SOUND, "step = 0.1", "step = 0.0001"), "step", "at most 100,000 steps from low to high"),
    "samples-missing": (*instead(SOUND, "samples = 3600\n", ""), "[stream.privacy]", "privacy.samples: expected"),
    "samples-beyond-the-window": (*instead(SOUND, "3600", "3601"), "samples", "at most one a second, 3600 in a window"),
    "c-beyond-the-samples": (*instead(SOUND, "3600", "59"), "c = 60", "at most samples = 59, got 60"),
    "percentiles-falling": (
        *instead(PERCENTILES, "[10, 50, 90]", "[90, 50, 10]"),
        "percentiles = ",
        "expected 1 to 5 whole numbers from 1 to 99, rising",
    ),
    "percentile-of-a-hundred": (*instead(PERCENTILES, "90]", "100]"), "percentiles = ", "whole numbers from 1 to 99"),
    "percentiles-none": (*instead(PERCENTILES, "[10, 50, 90]", "[]"), "percentiles = ", "1 to 5 whole numbers"),
    "percentiles-without-rho": (
        *instead(PERCENTILES, "percentiles_rho = 0.0625\n", ""),
        "[stream.privacy]",
        "privacy.percentiles_rho: expected a number",
    ),
    "rho-of-no-percentiles": (
        *instead(PERCENTILES, "percentiles = [10, 50, 90]\n", ""),
        "percentiles_rho",
        "expected a known key, got 'percentiles_rho'",
    ),
    "percentiles-take-all": (
        *instead(PERCENTILES, "percentiles_rho = 0.0625", "percentiles_rho = 0.125"),
        "percentiles_rho",
        "less than rho = 0.125, of which the mean needs a part too, got 0.125",
    ),
    "percentiles-lost-in-noise": (
        *instead(PERCENTILES, "percentiles_rho = 0.0625", "percentiles_rho = 0.00390625"),
        "percentiles_rho",
        "a standard deviation of at most 720, 1 in 40 of the samples, got 960",
    ),
    "aggregation-maximum": (
        *instead(COARSE, '"mean"', '"max"'),
        "aggregation",
        "expected one of mean, median, got 'max'",
    ),
    "one-sample-is-no-mean": (*instead(COARSE, "600", "1"), "min_samples", "a whole number from 2 to 86400, got 1"),
    "coarse-called-private": (
        *instead(COARSE, "step = 5", "step = 5\nrho = 1"),
        "rho",
        "expected a known key, got 'rho'",
    ),
    "addresses-missing": (
        *instead(UNIQUE, "addresses = 2\n", ""),
        "[stream.privacy]",
        "privacy.addresses: expected a whole number",
    ),
    "epsilon-missing": (*instead(UNIQUE, "epsilon = 0.25\n", ""), "[stream.privacy]", "privacy.epsilon: expected"),
    "epsilon-without-noise": (
        *instead(UNIQUE, "epsilon = 0.25", "epsilon = 4"),
        "epsilon",
        "noise variance is from 1 to 1,048,576, got a variance of 0.5",
    ),
    "unique-beyond-the-windows": (
        *instead(UNIQUE, "m = 4", "m = 289"),
        "m = 289",
        "at most 288, the windows in a period",
    ),
    "unique-threshold-only": (*instead(UNIQUE, '"dp"', '"threshold-only"'), "mode", "expected one of dp, got"),
    "unique-by-camera": (
        *instead(UNIQUE, "identifiable_wifi_sensor", "identifiable_video"),
        "technology",
        "expected one of identifiable_nfc",
    ),
    "unique-beyond-the-cap": (
        *instead(UNIQUE, "epsilon = 0.25", "epsilon = 0.5"),
        "cap_rho",
        "the sum of rho over all streams, 0.5, got 0.125",
    ),
    "bins-missing": (
        *instead(DURATION, 'bins = ["5 minutes", "1 hour"]\n', ""),
        "[[stream]]",
        "bins: expected an array",
    ),
    "bins-that-fall": (
        *instead(DURATION, '["5 minutes", "1 hour"]', '["1 hour", "5 minutes"]'),
        "bins",
        "expected longer than 1 hour, got '5 minutes'",
    ),
    "bins-in-half-seconds": (
        *instead(DURATION, '"5 minutes"', '"1.5 seconds"'),
        "bins",
        "whole seconds, got 1.5 seconds",
    ),
    "threshold-only-above-its-ceiling": (
        *instead(THRESHOLD_ONLY, "max_count = 5000", "max_count = 9"),
        "max_count",
        "at least the threshold on counts, 10, got 9",
    ),
    "rho-missing": ("\nrho = 0.125", "", "[stream.privacy]", "privacy.rho: expected a number"),
    "rho-called-epsilon": ("\nrho = 0.125", "\nepsilon = 1", "[stream.privacy]", "privacy.rho: expected a number"),
    "rho-negative": ("\nrho = 0.125", "\nrho = -0.125", "rho = -0.125", "a number from 0.000001 to 10"),
    "rho-infinite": ("\nrho = 0.125", "\nrho = inf", "rho = inf", "got inf"),
    "rho-too-fine": ("\nrho = 0.125", "\nrho = 0.12345678", "rho = 0.123", "a denominator of at most 1,000,000"),
    "rho-by-zero": ("\nrho = 0.125", '\nrho = "1/0"', 'rho = "1/0"', 'a ratio such as "1/72"'),
    "rho-noise-too-small": (
        "\nrho = 0.125",
        "\nrho = 4",
        "rho = 4",
        "noise variance is from 1 to 1,048,576, got a variance of 0.5",
    ),
    "rho-noise-too-large": (
        "\nrho = 0.125",
        "\nrho = 0.000001",
        "rho = 0.000001",
        "noise variance is from 1 to 1,048,576",
    ),
    "m-missing": ("m = 4\n", "", "[stream.privacy]", "privacy.m: expected a whole number"),
    "m-a-decimal": ("m = 4", "m = 4.5", "m = 4.5", "a whole number from 1 to 100000, got 4.5"),
    "m-beyond-the-windows": ("m = 4", "m = 97", "m = 97", "at most 96: 96 windows in a period, 1 a window, got 97"),
    "c-above-m": ("c = 1", "c = 5", "c = 5", "at most m = 4, got 5"),
    "c-zero": ("c = 1", "c = 0", "c = 0", "a whole number from 1"),
    "k-negative": ("k = 5", "k = -1", "k = -1", "a whole number from 0"),
    "k-zero-with-a-margin": ("k = 5", "k = 0", "z = 2", "0 where nothing is hidden (k = 0), got 2"),
    "k-missing": ("k = 5\n", "", "[stream.privacy]", "privacy.k: expected a whole number"),
    "z-negative": ("z = 2", "z = -0.5", "z = -0.5", "a number from 0 to 10"),
    "max-count-below-threshold": (
        "max_count = 5000",
        "max_count = 12",
        "max_count",
        "at least the threshold on noisy counts, 13, got 12",
    ),
    "totals-missing": (
        'totals = "none"\n',
        "",
        "[stream.privacy]",
        "privacy.totals: expected one of none, period, got nothing",
    ),
    "totals-over-a-week": ('"none"', '"week"', "totals", "expected one of none, period, got 'week'"),
    "totals-of-every-second": (
        STREAM,
        STREAM.replace('"15 minutes"', '"1 second"')
        .replace('"10 seconds"', '"0 seconds"')
        .replace('"none"', '"period"'),
        'totals = "period"',
        "expected none, or 2 to 16,384 windows in a period, got 86,400 windows; use longer windows",
    ),
    "totals-of-a-duration": (
        *instead(DURATION, "max_count = 5000", 'max_count = 5000\ntotals = "none"'),
        "totals",
        "expected a known key, got 'totals'",
    ),
    "totals-without-noise": (
        *instead(THRESHOLD_ONLY, "max_count = 5000", 'max_count = 5000\ntotals = "period"'),
        "totals",
        "expected a known key, got 'totals'",
    ),
    "totals-of-one-window": (
        STREAM,
        STREAM.replace('"15 minutes"', '"1 day"').replace("m = 4", "m = 1").replace('"none"', '"period"'),
        'totals = "period"',
        "2 to 16,384 windows in a period, got 1 window; its number is the total",
    ),
    "totals-for-people-always-there": (
        STREAM,
        STREAM.replace("m = 4", "m = 49").replace('"none"', '"period"'),
        "m = 49",
        "at most 48 with running totals: half of the 96 windows, 1 a window, got 49",
    ),
    "totals-noise-too-large": (
        STREAM,
        STREAM.replace("\nrho = 0.125", "\nrho = 0.00001").replace('"none"', '"period"'),
        "rho = 0.00001",
        "noise variance is from 1 to 1,048,576",
    ),
    "privacy-unknown-key": (
        "max_count = 5000",
        "max_count = 5000\nseed = 1",
        "seed",
        "expected a known key, got 'seed'",
    ),
}


def texts() -> dict[str, str]:
    """File name -> text."""
    made = {"good.toml": GOOD}
    for name, (old, new, anchor, fragment) in CASES.items():
        assert GOOD.count(old) >= 1, name
        text = GOOD.replace(old, new, 1)
        if name == "stream-name-twice":
            text += SECOND_STREAM.replace('"NAME"', '"crossings"  # again')
        lines = text.splitlines()
        places = [number for number, line in enumerate(lines, 1) if anchor in line]
        assert places, name
        lines[0] = f"# expect: {places[-1] if anchor in new else places[0]}: {fragment}"
        made[f"{name}.toml"] = "\n".join(lines) + "\n"
    return made


if __name__ == "__main__":
    folder = Path(__file__).parent
    written = texts()
    for old_file in folder.glob("*.toml"):
        old_file.unlink()
    for name, text in written.items():
        (folder / name).write_text(text)
