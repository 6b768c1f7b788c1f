"""Particles behind numbers, as the numbers are read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbook import josa, paper
from bnbook.josa import with_particle


# Places where the book once had the other form.
@pytest.mark.parametrize(
    ("text", "particle", "right"),
    [
        ("0.0015", "은", "0.0015는"),
        ("0.0001", "다", "0.0001이다"),
        ("1.6", "다", "1.6이다"),
        ("+0.38", "다", "+0.38이다"),
        ("0.08", "다", "0.08이다"),
        ("0.158", "다", "0.158이다"),
        ("−2.0", "와", "−2.0과"),
        ("5.4", "이", "5.4가"),
        ("−3.5", "과", "−3.5와"),
        ("0.0001", "를", "0.0001을"),
        ("3", "로", "3으로"),
        ("2.10", "와", "2.10과"),
        ("1.5", "과", "1.5와"),
        ("97.4%", "은", "97.4%는"),
        ("1.2%p", "이다", "1.2%p다"),
    ],
)
def test_known_places(text, particle, right):
    assert with_particle(text, particle) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("1", "1로"),
        ("7", "7로"),
        ("8", "8로"),
        ("0", "0으로"),
        ("10", "10으로"),
        ("200", "200으로"),
        ("3,000", "3,000으로"),
        ("50,000", "50,000으로"),
        ("100,000,000", "100,000,000으로"),
        ("2.7", "2.7로"),
        ("ReLU", "ReLU로"),
        ("BN", "BN으로"),
        ("L", "L로"),
        ("BN-x30", "BN-x30으로"),
        ("배", "배로"),
        ("자릿수", "자릿수로"),
        ("**12**", "**12**로"),
        ("3.0 (95%)", "3.0 (95%)로"),
    ],
)
def test_how_it_is_read(text, right):
    assert with_particle(text, "로") == right


SOUND = dict(zip("0123456789", (True, True, False, True, False, False, True, True, True, False), strict=True))


@given(st.floats(-1e6, 1e6), st.integers(1, 4))
def test_decimals_are_read_digit_by_digit(value, digits):
    text = f"{value:.{digits}f}"
    assert with_particle(text, "은")[-1] == ("은" if SOUND[text[-1]] else "는")
    assert with_particle(text, "가")[-1] == ("이" if SOUND[text[-1]] else "가")


@given(st.integers(1, 10**12))
def test_whole_numbers_end_with_a_digit_or_a_power_of_ten(value):
    text = f"{value:,}"
    closed = text.endswith("0") or SOUND[text[-1]]
    assert with_particle(text, "와")[-1] == ("과" if closed else "와")


def test_what_is_no_particle_is_refused():
    with pytest.raises(ValueError, match="no particle '에서'"):
        with_particle("3", "에서")


def test_either_form_names_the_pair():
    for pair in josa.PAIRS:
        assert {with_particle("3", form) for form in pair} == {f"3{pair[0]}"}


def test_texts_say_it_behind_the_format():
    numbers = {"": {"a.b": 0.38, "n": 3}}
    assert paper.fill("폭은 [[a.b|.2f|다]].", numbers) == "폭은 0.38이다."
    assert paper.fill("[[n||을]] 골랐다", numbers) == "3을 골랐다"
    with pytest.raises(ValueError, match="no particle"):
        paper.fill("[[n||에서]]", numbers)
