"""Texts as files can hold them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.exports.texts import LINE_WIDTH, balanced, lines_of, one_line, width


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a\n\tb\r\nc ", "a b c"),
        ("a\x00b\x1b[31mc\x85d\u2028e", "a b [31mc d e"),
        ("abc\u202edef\u2066", "abcdef"),  # would turn the rest of the line
        ("\ud800x", "x"),
        ("שלום עולם", "שלום עולם"),
        ("مرحبا\u200cبك", "مرحبا\u200cبك"),  # a joiner is part of the word
        ("👩\u200d🚀 东京", "👩\u200d🚀 东京"),
        ("\n\n", ""),
    ],
)
def test_a_text_becomes_one_harmless_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text())
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    line = one_line(text)
    assert line.encode().decode() == line
    assert line.splitlines() in ([line], [])
    assert not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") for letter in line)
    assert one_line(line) == line


@given(st.text(), st.integers(1, LINE_WIDTH))
def test_lines_hold_all_of_a_text_and_are_no_wider_than_a_screen(text: str, columns: int) -> None:
    line = one_line(text)
    lines = lines_of(line, columns)
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert all(one.strip() for one in lines)
    assert all(width(one) <= LINE_WIDTH for one in lines)


@given(st.text(alphabet="abc défg 东京 ", max_size=400))
def test_balanced_blocks_are_as_few_as_can_be(text: str) -> None:
    line = one_line(text)
    blocks = balanced(line, 2)
    assert len(blocks) == -(-len(lines_of(line)) // 2)
    assert "".join("".join(map("".join, blocks)).split()) == "".join(line.split())


def test_words_are_not_cut_and_chinese_breaks_where_it_may() -> None:
    assert lines_of("the quick brown fox jumps over the lazy dog again") == [
        "the quick brown fox jumps over the lazy",
        "dog again",
    ]
    # 21 characters are 42 columns; the full stop does not begin a line
    assert lines_of("一二三四五六七八九十一二三四五六七八九十一。二三") == [
        "一二三四五六七八九十一二三四五六七八九十",
        "一。二三",
    ]


def test_two_even_lines_are_better_than_a_long_and_a_short_one() -> None:
    text = "Today, after two years of negotiations, the end"
    assert balanced(text, 2) == [("Today, after two years", "of negotiations, the end")]
