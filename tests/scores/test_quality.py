"""Measures, against a few lines of plain Python on the same customers."""

import ast
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.made_up import customers

from dagster_project.paths import PROJECT_DIR
from dagster_project.scores import quality, rules
from dagster_project.scores.snapshot import Forecast, Snapshot


def test_measures_equal_plain_python() -> None:
    known = customers()
    dice = random.Random(5)
    chance = [dice.choice((0.1, 0.2, 0.2, 0.7)) for _ in range(len(known))]
    count = [dice.random() * 3 for _ in range(len(known))]
    measured = quality.quality(known, Forecast(np.array(chance), np.array(count)))
    actual = known.next_period_count.tolist()
    returned = [number > 0 for number in actual]
    pairs = [
        (a > b) + (a == b) / 2
        for a, is_back in zip(chance, returned, strict=True)
        if is_back
        for b, is_other_back in zip(chance, returned, strict=True)
        if not is_other_back
    ]
    assert measured["auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert measured["brier"] == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(chance, returned, strict=True)) / len(known)
    )
    assert measured["bias"] == pytest.approx(sum(count) / sum(actual) - 1)
    errors = [a - b for a, b in zip(count, actual, strict=True)]
    assert measured["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))
    assert measured["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))
    # Seventy customers or so share the chance at the border of the first tenth.
    best = [back for a, back in zip(chance, returned, strict=True) if a == 0.7]
    assert len(best) > len(known) / 10
    assert measured["top_decile_lift"] == pytest.approx(
        (sum(best) / len(best)) / (sum(returned) / len(returned))
    )


def test_what_is_not_defined_is_none_and_nothing_is_infinite() -> None:
    nobody = customers(next_period=[0] * 400)
    measured = quality.quality(nobody, rules.nobody_repurchases(nobody))
    assert {name for name, value in measured.items() if value is None} == {
        "bias", "correlation", "auc", "top_decile_lift"
    }  # fmt: skip
    assert all(math.isfinite(value) for value in measured.values() if value is not None)


@given(st.lists(st.sampled_from((0.0, 0.1, 0.25, 0.5)) | st.floats(0, 1), min_size=1))
def test_ranks_are_those_of_scipy(chances: list[float]) -> None:
    ranks = quality.average_ranks(np.array(chances))
    assert ranks.tolist() == stats.rankdata(chances).tolist()


def test_nothing_waits_for_the_import_of_scipy_stats() -> None:
    # It takes a second. Other libraries than ours do without as well.
    code = "import sys, dagster_project.scores.scoring; sys.exit('scipy.stats' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    for file in (PROJECT_DIR / "dagster_project").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported = {f"{node.module}.{name.name}" for name in node.names}
            elif isinstance(node, ast.Import):
                imported = {name.name for name in node.names}
            else:
                continue
            assert not any(f"{name}.".startswith("scipy.stats.") for name in imported), file


@given(st.integers(1, 60), st.integers(0, 1000))
def test_calibration_holds_everybody_once_and_equal_chances_together(count: int, seed: int) -> None:
    known = customers(count, seed)
    dice = random.Random(seed)
    chance = np.array([dice.choice((0.0, 0.3, 0.31, 1.0)) for _ in range(count)])
    rows = quality.calibration(known, Forecast(chance, chance))
    assert sum(row["customer_count"] for row in rows) == count
    assert len(rows) <= 4
    assert sum(row["customer_count"] * row["predicted_rate"] for row in rows) == pytest.approx(
        chance.sum()
    )
    predicted = [row["predicted_rate"] for row in rows]
    assert predicted == sorted(predicted)


def test_paired_interval_is_that_of_a_bootstrap_over_customers() -> None:
    known = customers(2000)
    good = Forecast(
        np.where(known.days_since_last_purchase < 150, 0.4, 0.0), known.next_period_count * 0.5
    )
    rule = rules.HiatusRule.learn(known).forecast(known)
    found = quality.paired_differences(known, {"good": good, "hiatus_rule": rule}, "hiatus_rule")
    assert found["hiatus_rule"]["brier_difference_high"] == 0
    returned = known.next_period_count > 0
    loss = (good.repurchase_probability - returned) ** 2 - (
        rule.repurchase_probability - returned
    ) ** 2
    assert found["good"]["brier_difference"] == pytest.approx(loss.mean())
    # The central limit theorem's interval, within the noise of 2,000 replicates of 100 groups.
    spread = 1.96 * loss.std() / math.sqrt(len(known))
    assert found["good"]["brier_difference_low"] == pytest.approx(
        loss.mean() - spread, abs=spread / 3
    )
    assert found["good"]["brier_difference_high"] == pytest.approx(
        loss.mean() + spread, abs=spread / 3
    )
    assert found["good"]["rmse_difference_high"] < 0


def test_the_interval_does_not_depend_on_the_order_of_customers() -> None:
    known = customers(300)
    order = np.random.default_rng(1).permutation(300)
    shuffled = Snapshot(
        **{name: getattr(known, name)[order] for name in Snapshot.__dataclass_fields__}
    )
    results = []
    for snapshot in (known, shuffled):
        rule = rules.HiatusRule.learn(known).forecast(snapshot)
        nobody = rules.nobody_repurchases(snapshot)
        results.append(
            quality.paired_differences(
                snapshot, {"nobody_repurchases": nobody, "hiatus_rule": rule}, "hiatus_rule"
            )["nobody_repurchases"]
        )
    assert results[0] == pytest.approx(results[1])
