"""Numbers and estimates as people read them."""

import numpy as np
import pandas as pd

from rl_ablation.formats import Estimate, number, unlike


def test_numbers_have_a_true_minus_and_no_minus_zero():
    assert number(-0.934) == "−0.93"
    assert number(-0.001) == "0"
    assert number(1234.5) == "1234"
    assert number(np.nan) == "–"
    assert number(-0.256, "%") == "−26 %"
    assert number(-0.001, "%") == "0 %"
    assert number(0.0256, "+.1%") == "+2.6%"


def test_an_estimate_words_itself():
    found = Estimate(0.934, 0.88, -0.97)
    assert f"{found}" == "0.93 (0.88 to −0.97)"
    assert f"{found:.1f}" == "0.9 (0.9 to −1.0)"
    assert f"{Estimate(0.44, 0.39, 0.48):%}" == "44 % (39 to 48)"
    assert found.ends() == "0.88 to −0.97"


def test_an_estimate_is_clear_where_its_interval_leaves_out_0():
    signs = [Estimate(0, low, high).sign for low, high in ((0.1, 1), (-1, -0.1), (-1, 1), (0, 1))]
    assert signs == [1, -1, 0, 0]
    assert Estimate(np.nan, np.nan, np.nan).sign == 0


def test_estimates_come_from_rows_of_tables():
    row = {"rho": 0.5, "low": 0.1, "high": 0.7}
    assert Estimate.of(row, "rho") == Estimate.of(pd.Series(row), "rho") == Estimate(0.5, 0.1, 0.7)


def test_two_numbers_that_differ_read_apart() -> None:
    assert unlike(0.0012, 0.0004) == ("0.001", "0.000")
    assert unlike(0.5, 0.25) == ("0.50", "0.25")
    assert unlike(0.3, 0.3) == ("0.30", "0.30")
    assert unlike(1e-9, 2e-9) == ("0.00000", "0.00000")
    assert unlike(float("nan"), 1.0) == ("–", "1.00")
