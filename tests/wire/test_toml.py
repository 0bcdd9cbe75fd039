"""agent/wire/toml: exact values, each refusal at its own line, nothing hostile gets further."""

import contextlib
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError, SettingsError
from agent.wire import toml
from agent.wire.toml_lines import Path, find_lines

TEXT = '''\
# a comment with [brackets] and "quotes"
a.b = 1
"q.x" = """
k = 1
[t]
"""
arr = [
  "x",
  # ]
  {k = 1, z.y = [1,
    2]},
]
[t.u]   # a header's comment
v = '[x]'
w = """one line"""
[[s]]
n = 1
[s.p]
rho = 0.125
[[s]]
n = 2
 [s.p]
 rho = 1
 inline = { a = 1, b = { c = 2 } }
[[s.deep]]
x = 1
[[s.deep]]
x = 2
["quoted table"]
"\\u0061" = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a", "b"), 2),
        (("q.x",), 3),
        (("arr",), 7),
        (("arr", 0), 8),
        (("arr", 1), 10),
        (("arr", 1, "k"), 10),
        (("arr", 1, "z", "y"), 10),
        (("arr", 1, "z", "y", 1), 11),
        (("t", "u"), 13),
        (("t", "u", "v"), 14),
        (("t", "u", "w"), 15),
        (("s", 0), 16),
        (("s", 0, "n"), 17),
        (("s", 0, "p"), 18),
        (("s", 0, "p", "rho"), 19),
        (("s", 1), 20),
        (("s", 1, "n"), 21),
        (("s", 1, "p", "rho"), 23),
        (("s", 1, "p", "inline", "b", "c"), 24),
        (("s", 1, "deep", 0, "x"), 26),
        (("s", 1, "deep", 1, "x"), 28),
        (("quoted table", "a"), 30),
    ],
)
def test_lines(path: Path, line: int) -> None:
    """Every key, header and array element of a text that uses every form of TOML stands where it stands."""
    toml.parse(TEXT, "t", PolicyError)
    assert find_lines(TEXT, 32).of[path] == line


@pytest.mark.parametrize("path", [("k",), ("t",), ("q", "x"), ("brackets",)])
def test_no_lines_from_inside_strings_and_comments(path: Path) -> None:
    """What looks like a key inside a multi-line string or a comment is none (`t` is found at its own table only)."""
    assert find_lines(TEXT, 32).of.get(path) in (None, 13)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_with_other_line_ends(newline: str) -> None:
    """Lines are counted as an editor counts them; a line separator inside a comment is no new line."""
    text = newline.join(["# x\u2028y", "a = 1", "", "b = 2"])
    found = find_lines(text, 32)
    assert (found.of["a",], found.of["b",]) == (2, 4)


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("a = 1\nb =\n", "f:2:4", "TOML 1.0"),
        ("a = 1\na = 2\n", "f:2", "TOML 1.0"),
        ("a = [1,\n2\n", "f:3", "TOML 1.0"),
        ('a = """x\ny\n', "f:3", "TOML 1.0"),
        ("[a]\n[a]\n", "f:2", "TOML 1.0"),
        ("\n\nx = " + "9" * 5000, "f:3", "digits"),
        ("\nx = " + "[" * 40, "f:2", "nested"),
        ("\nx" + ".x" * 40 + " = 1", "f:2", "dotted"),
    ],
)
def test_bad_toml(text: str, where: str, said: str) -> None:
    """A text that is not TOML, or beyond our bounds, is refused with file and line."""
    with pytest.raises(PolicyError) as caught:
        toml.parse(text, "f", PolicyError)
    assert caught.value.where.startswith(where)
    assert said in caught.value.expected


def test_not_utf8() -> None:
    """Another encoding is named as such, with the byte where it shows."""
    with pytest.raises(SettingsError, match="byte 4: expected UTF-8 text"):
        toml.parse(b"a = \xff", "f", SettingsError)


def test_too_long() -> None:
    """A file beyond the bound is refused before it is looked at."""
    with pytest.raises(PolicyError, match="at most 262144 characters"):
        toml.parse("#" * (toml.MAX_BYTES + 1), "f", PolicyError)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "a" + ".a" * 100_000 + " = 1",
        "a = " + "[" * 100_000,
        "é." * 100_000,
        '"' * 250_000,
        '"""' * 80_000,
        '"""\\' * 60_000,
        "a b " * 60_000,
        "a = [\n" + "{b = 1},\n" * 20_000 + "]",
        "x = 0x" + "f" * 200_000,
        "a = 1\n" * 40_000,
        "{" * 200_000,
        "a = " + "{a = " * 40_000,
    ],
    ids=lambda text: text[:8].strip(),
)
def test_hostile_texts_end_soon(text: str) -> None:
    """No text within the size bound recurses or takes time beyond its length."""
    started = time.monotonic()
    with contextlib.suppress(PolicyError):
        toml.parse(text, "f", PolicyError)
    assert time.monotonic() - started < 5


def test_decimals_are_exact() -> None:
    """0.1 is one tenth, not the nearest float."""
    table = toml.parse("a = 0.1\nb = 1e-3\nc = 1_000.5\nd = -2.5\n", "f", PolicyError)
    wide: dict[str, Any] = {"low": Fraction(-9999), "high": Fraction(9999), "expected": "a number"}
    assert [table.fraction(key, **wide) for key in "abcd"] == [
        Fraction(1, 10),
        Fraction(1, 1000),
        Fraction(2001, 2),
        Fraction(-5, 2),
    ]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999", "0." + "1" * 50, "1.0e-100"])
def test_odd_floats_are_refused_at_their_line(value: str) -> None:
    """A float that is no plain decimal is refused at its key, not somewhere in the file."""
    table = toml.parse(f"\n\na = {value}\nb = 1\n", "f", PolicyError)
    with pytest.raises(PolicyError, match="f:3: a: expected a number, got"):
        table.fraction("a", low=Fraction(0), high=Fraction(9), expected="a number")


GOOD = """\
name = "x"
count = 3
flag = true
word = "red"
list = ["a",
  "b"]
[sub]
deep = 1
[[item]]
n = 1
"""


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda t: t.text("nam"), "f:1: nam: expected text, got nothing; is 'name' at f:1 meant to be 'nam'?"),
        (lambda t: t.text("zzz"), "f:1: zzz: expected text, got nothing; add zzz = …"),
        (lambda t: t.text("count"), "f:2: count: expected text, got 3"),
        (lambda t: t.text("name", pattern="y", expected="y"), "f:1: name: expected y, got 'x'"),
        (lambda t: t.integer("name", low=1, high=2), "f:1: name: expected a whole number from 1 to 2, got 'x'"),
        (lambda t: t.integer("count", low=1, high=2), "f:2: count: expected a whole number from 1 to 2, got 3"),
        (lambda t: t.integer("flag", low=0, high=2), "f:3: flag: expected a whole number from 0 to 2, got true"),
        (lambda t: t.boolean("count"), "f:2: count: expected true or false, got 3"),
        (lambda t: t.choice("word", ["reed", "blue"]), "got 'red'; did you mean 'reed'?"),
        (lambda t: t.choice("word", ["x", "y"]), "f:4: word: expected one of x, y, got 'red'"),
        (lambda t: t.texts("list", pattern="a"), "f:6: list.1: expected an array of texts, got 'b'"),
        (lambda t: t.texts("list", high=1), "f:5: list: expected 1 to 1 texts, got 2"),
        (lambda t: t.texts("word"), "f:4: word: expected an array of texts, got 'red'"),
        (lambda t: t.table("word"), "f:4: word: expected a table [word], got 'red'"),
        (lambda t: t.table("none"), "f:1: none: expected a table [none], got nothing"),
        (lambda t: t.table("sub").text("deep"), "f:8: sub.deep: expected text, got 1"),
        (lambda t: t.table("sub").text("gone"), "f:7: sub.gone: expected text, got nothing"),
        (lambda t: t.tables("item")[0].text("n"), "f:10: item.0.n: expected text, got 1"),
        (lambda t: t.tables("item", low=2), "f:9: item: expected 2 to 32 tables [[item]], got 1 values"),
        (lambda t: t.tables("sub"), "f:7: sub: expected at least one [[sub]], got a table"),
        (lambda t: t.done(), "f:1: name: expected a known key, got 'name'"),
    ],
)
def test_refusals(read: Callable[[toml.Table], Any], message: str) -> None:
    """Each getter refuses at its own line, with what it expected, what it found and the nearest word."""
    with pytest.raises(PolicyError) as caught:
        read(toml.parse(GOOD, "f", PolicyError))
    assert message in str(caught.value)


def test_unknown_key_names_the_nearest() -> None:
    """What nobody read is an unknown key, and the nearest known one is offered."""
    table = toml.parse("keep_alive = 3\n", "f", PolicyError)
    table.integer("keepalive", 30, low=1, high=60)
    with pytest.raises(
        PolicyError, match=r"f:1: keep_alive: expected a known key, got 'keep_alive'; did you mean 'keepalive'\?"
    ):
        table.done()


@pytest.mark.parametrize("text", ['a = ""', 'a = "  "', f'a = "{"x" * 201}"', 'a = "\\u0000"', 'a = "x\\u001by"'])
def test_text_bounds(text: str) -> None:
    """Empty, blank, over-long and control characters are refused."""
    with pytest.raises(PolicyError, match="f:1: a: expected text"):
        toml.parse(text, "f", PolicyError).text("a")


def test_tree_has_no_lines() -> None:
    """Values that came from no text are refused under their name and key."""
    with pytest.raises(PolicyError) as caught:
        toml.tree({"a": {"b": 1}}, "compiled policy", PolicyError).table("a").text("b")
    assert str(caught.value) == "compiled policy: a.b: expected text, got 1"


@given(st.text(max_size=120))
def test_only_the_documented_error_escapes(text: str) -> None:
    """Any text is parsed or refused with the error class given."""
    with contextlib.suppress(PolicyError):
        toml.parse(text, "f", PolicyError)


@given(st.text(alphabet="ab.=[]{}\"',#\n\\ 1-e_", max_size=60))
def test_only_the_documented_error_escapes_near_toml(text: str) -> None:
    """The same for texts that are nearly TOML."""
    try:
        table = toml.parse(text, "f", PolicyError)
    except PolicyError:
        return
    if table.names():
        with pytest.raises(PolicyError, match="f:"):
            toml.parse(text, "f", PolicyError).done()


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        st.sampled_from(["1", '"x\\"y"', "[1,\n 2]", '"""a\n[b]\nc=1"""', "{z = 1}"]),
    ),
    st.integers(0, 3),
)
def test_line_of_every_generated_key(values: dict[str, str], blank_lines: int) -> None:
    """Whatever stands between, the line found for a key is the line it was written on."""
    text, expected, line = "", {}, 1
    for key, value in values.items():
        piece = "\n" * blank_lines + f"{key} = {value}\n"
        expected[key] = line + blank_lines
        text += piece
        line += piece.count("\n")
    toml.parse(text, "f", PolicyError)
    found = find_lines(text, 32)
    assert {key: found.of[key,] for key in values} == expected
