"""Published scores against figures worked out anew from the raw file, and what they may know."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path
from random import Random

import duckdb
import numpy as np
import pytest
from support.paper_models import GammaGamma, MbgNbd, ParetoNbd
from support.shop import Outcome, start_dbt

from dagster_project.config.source import load_source
from dagster_project.loading.load import load_table
from dagster_project.loading.raw_tables import prepare_raw
from dagster_project.paths import PROJECT_DIR, SourcePaths
from dagster_project.scores import score_tables, scoring
from dagster_project.warehouse import connect

pytestmark = pytest.mark.timeout(900)
END = date(1998, 6, 30)
JUDGED, EARLIER = END - timedelta(days=90), END - timedelta(days=180)
HORIZON = 90


@dataclass(frozen=True)
class Buyer:
    """A customer with what they spent on each day they bought, days in order."""

    customer_id: str
    spent: dict[date, float]

    def days(self, since: date, until: date) -> int:
        """Return the purchase days after the first date up to the second."""
        return sum(since < day <= until for day in self.spent)

    def history(self, end: date) -> tuple[int, float, float]:
        """Return repeat purchases, weeks from the first to the last and to the end: x, t_x, T."""
        known = [day for day in self.spent if day <= end]
        return len(known) - 1, (known[-1] - known[0]).days / 7, (end - known[0]).days / 7

    def is_recent(self, end: date) -> bool:
        """Return whether they bought in the 13 weeks that end on the day."""
        return self.days(end - timedelta(days=92), end) > 0


@pytest.fixture(scope="module")
def buyers() -> list[Buyer]:
    spent: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for line in cdnow_file().read_text().splitlines():
        if line.strip():
            customer, _, day, _, amount = line.split()
            spent[customer][date(int(day[:4]), int(day[4:6]), int(day[6:]))] += float(amount)
    return [Buyer(name, dict(sorted(days.items()))) for name, days in sorted(spent.items())]


def cdnow_file() -> Path:
    (file,) = (path for path in metadata.files("lifetimes") if path.name == "CDNOW_sample.txt")
    return Path(file.locate())


@pytest.fixture
def published(
    published_cdnow: tuple[SourcePaths, Outcome],
) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(published_cdnow[0].published_file), read_only=True) as connection:
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return [
        {
            name: value if value is None or isinstance(value, str | date | bool) else float(value)
            for name, value in zip(names, row, strict=True)
        }
        for row in cursor.fetchall()
    ]


def fitted(
    published: duckdb.DuckDBPyConnection, score: str, model: str
) -> tuple[list[float], dict]:
    (row,) = rows(
        published, f"select * from score_versions where score = '{score}' and model = '{model}'"
    )
    return list(json.loads(row["parameters"]).values()), row


# Model quality


def learnt(buyers: Sequence[Buyer]) -> dict[bool, tuple[float, float]]:
    """Return the plain rule's chance and count by recency: what followed the earlier cutoff."""
    result = {}
    for recent in (False, True):
        known = [one for one in buyers if min(one.spent) <= EARLIER]
        counts = [one.days(EARLIER, JUDGED) for one in known if one.is_recent(EARLIER) == recent]
        result[recent] = sum(n > 0 for n in counts) / len(counts), sum(counts) / len(counts)
    return result


def said(model: str, parameters: str | None, buyers: Sequence[Buyer]) -> list[tuple[float, float]]:
    """Return chance to return and purchase days that a forecast says as of the last cutoff."""
    if model == "nobody_repurchases":
        return [(0.0, 0.0)] * len(buyers)
    if model == "last_period_repeats":
        before = JUDGED - timedelta(days=HORIZON)
        counts = [one.days(before, JUDGED) for one in buyers]
        return [(float(count > 0), float(count)) for count in counts]
    if model == "hiatus_rule":
        rule = learnt(buyers)
        return [rule[one.is_recent(JUDGED)] for one in buyers]
    mbg = MbgNbd(**json.loads(parameters))
    histories = [one.history(JUDGED) for one in buyers]
    return [(mbg.returns(*one, HORIZON / 7), mbg.purchases(*one, HORIZON / 7)) for one in histories]


@pytest.mark.parametrize(
    "model", ["hiatus_rule", "nobody_repurchases", "last_period_repeats", "mbg_nbd"]
)
def test_quality_is_that_of_the_raw_file(
    published: duckdb.DuckDBPyConnection, buyers: list[Buyer], model: str
) -> None:
    (row,) = rows(
        published,
        f"select * from model_quality where horizon_days = {HORIZON} and purpose = 'judging' "
        f"and model = '{model}'",
    )
    assert row["cutoff_on"] == JUDGED
    counts = np.array([one.days(JUDGED, END) for one in buyers])
    chance, forecast = np.array(said(model, row["parameters"], buyers)).T
    came, error = counts > 0, forecast - counts
    above = chance[came][:, None] - chance[~came]
    exact = {
        "customer_count": 2357,
        "actual_count": counts.sum(),
        "repurchased_count": came.sum(),
        "bias": forecast.sum() / counts.sum() - 1,
        "mae": np.abs(error).mean(),
        "rmse": math.sqrt((error**2).mean()),
        "brier": ((chance - came) ** 2).mean(),
        "auc": (above > 0).mean() + (above == 0).mean() / 2,
    }
    assert {name: row[name] for name in exact} == pytest.approx(exact, abs=2e-6)
    assert row["predicted_count"] == pytest.approx(forecast.sum(), abs=0.006)
    assert row["predicted_repurchased_count"] == pytest.approx(chance.sum(), abs=1e-4)


def test_calibration_holds_everybody_and_adds_up(published: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        published,
        """
        select
            quality.customer_count, quality.repurchased_count, quality.predicted_repurchased_count,
            sum(tenth.customer_count) as calibrated_count,
            sum(tenth.customer_count * tenth.actual_rate) as actual,
            sum(tenth.customer_count * tenth.predicted_rate) as predicted
        from model_quality as quality
        join model_calibration as tenth using (horizon_days, cutoff_on, model)
        group by all
        """,
    )
    # Eight forecasts as of two cutoffs at two horizons; the log is too short for a year's.
    (count,) = published.execute("select count(*) from model_quality").fetchone()
    assert len(found) == count == 32
    for row in found:
        assert row["calibrated_count"] == row["customer_count"]
        assert row["actual"] == pytest.approx(row["repurchased_count"], abs=0.01)
        assert row["predicted"] == pytest.approx(row["predicted_repurchased_count"], abs=0.01)


def test_the_plain_rule_splits_customers_as_the_raw_file_does(
    published: duckdb.DuckDBPyConnection, buyers: list[Buyer]
) -> None:
    """Silent for more than 90 days are 1,971 (the reference), for more than its 91 one less."""
    silent = [one for one in buyers if not one.is_recent(JUDGED)]
    (lower, upper) = rows(
        published,
        "select customer_count from model_calibration where horizon_days = 90 "
        f"and cutoff_on = date '{JUDGED}' and model = 'hiatus_rule' order by decile",
    )
    assert lower["customer_count"] == len(silent) == 1970
    assert upper["customer_count"] == 2357 - 1970


def test_what_is_published_won_and_beat_the_plain_rule(
    published: duckdb.DuckDBPyConnection,
) -> None:
    winners = {
        row["score"]: row["model"]
        for row in rows(published, "select * from score_versions where is_chosen")
    }
    assert winners == {
        "repurchase_probability_90d": "mbg_nbd",
        "expected_purchase_days": "pareto_nbd",
        "probability_alive": "mbg_nbd",
        "expected_order_value": "gamma_gamma",
    }
    quality = {
        (row["purpose"], row["model"]): row
        for row in rows(published, f"select * from model_quality where horizon_days = {HORIZON}")
    }
    measures = {"repurchase_probability_90d": "brier", "expected_purchase_days": "rmse"}
    for score, measure in measures.items():
        candidates = {"nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"}
        if measure == "brier":
            candidates.add("empirical_table")
        best = min(candidates, key=lambda name: quality["choosing", name][measure])
        assert winners[score] == best
        judged, plain = quality["judging", best], quality["judging", "hiatus_rule"]
        assert judged[f"{measure}_difference_high"] <= 0
        assert judged[f"{measure}_difference"] == pytest.approx(
            judged[measure] - plain[measure], abs=2e-6
        )


# Parameters and scores as of the end of the log


def test_parameters_are_at_the_top_of_the_likelihood(
    published: duckdb.DuckDBPyConnection, buyers: list[Buyer]
) -> None:
    histories = [one.history(END) for one in buyers]
    spends = [(len(one.spent) - 1, mean_of_repeats(one)) for one in buyers]
    repeats = [(x, mean) for x, mean in spends if x and mean]
    for score, model, form, data in (
        ("probability_alive", "mbg_nbd", MbgNbd, histories),
        ("expected_order_value", "gamma_gamma", GammaGamma, repeats),
    ):
        parameters, row = fitted(published, score, model)
        assert (row["customer_count"], row["repeat_customer_count"]) == (2357, 2357 - 1218)
        assert (row["data_from"], row["data_to"]) == (date(1997, 1, 1), END)
        top = sum(form(*parameters).log_likelihood(*one) for one in data)
        assert row["log_likelihood"] == pytest.approx(top, abs=0.001)
        for number in range(len(parameters)):
            for factor in (0.98, 1.02):
                beside = list(parameters)
                beside[number] *= factor
                assert sum(form(*beside).log_likelihood(*one) for one in data) < top


def mean_of_repeats(buyer: Buyer) -> float:
    _, *amounts = buyer.spent.values()
    return sum(amounts) / len(amounts) if amounts else 0.0


def test_scores_of_ten_customers_are_those_of_the_formulas(
    published: duckdb.DuckDBPyConnection, buyers: list[Buyer]
) -> None:
    mbg = MbgNbd(*fitted(published, "repurchase_probability_90d", "mbg_nbd")[0])
    pareto = ParetoNbd(*fitted(published, "expected_purchase_days", "pareto_nbd")[0])
    worth = GammaGamma(*fitted(published, "expected_order_value", "gamma_gamma")[0])
    scores = {row["customer_id"]: row for row in rows(published, "select * from customer_scores")}
    assert scores.keys() == {one.customer_id for one in buyers}
    often = [one for one in buyers if len(one.spent) > 5]
    once = [one for one in buyers if len(one.spent) == 1]
    dice = Random(4)
    for buyer in [*dice.sample(often, 4), *dice.sample(once, 2), *dice.sample(buyers, 4)]:
        found, history = scores[buyer.customer_id], buyer.history(END)
        x, _, observed = history
        value = worth.order_value(x, mean_of_repeats(buyer))
        # A quarter's purchases are worth what money in the middle of it is, 10% less a year.
        ahead = [pareto.purchases(*history, 365 / 7 * end / 4) for end in range(5)]
        discounted = sum((ahead[n + 1] - ahead[n]) / 1.1 ** ((n + 0.5) / 4) for n in range(4))
        last = max(buyer.spent)
        year = [n for day, n in buyer.spent.items() if day > last - timedelta(days=365)]
        returns = mbg.returns(*history, HORIZON / 7)
        wait = math.ceil(pareto.median_wait(x, observed) * 7)
        assert found["expected_next_purchase_on"] == END + timedelta(days=wait)
        exact = {
            "probability_alive": mbg.alive(*history),
            "repurchase_probability_90d": returns,
            **{
                f"expected_purchase_days_{days}d": pareto.purchases(*history, days / 7)
                for days in (30, 90, 365)
            },
        }
        assert {name: found[name] for name in exact} == pytest.approx(exact, abs=2e-6)
        # The source's margin is 30% of sales.
        money = {
            "expected_order_value": value,
            "clv_365d": discounted * value * 0.3,
            "revenue_at_risk": sum(year) * (1 - returns),
        }
        assert {name: found[name] for name in money} == pytest.approx(money, abs=0.0051)
        assert found["clv_365d_low"] <= found["clv_365d_high"]


def test_whoever_bought_once_may_still_be_a_customer(
    published: duckdb.DuckDBPyConnection, buyers: list[Buyer]
) -> None:
    once = {one.customer_id for one in buyers if len(one.spent) == 1}
    alive = [
        row["probability_alive"]
        for row in rows(published, "select * from customer_scores")
        if row["customer_id"] in once
    ]
    assert len(alive) == 1218
    assert 0.30 <= min(alive) <= max(alive) <= 0.45
    assert fitted(published, "probability_alive", "mbg_nbd")[1]["log_likelihood_gain"] >= 6


# A source in which nobody can be told to have left


def test_nobody_is_called_alive_where_drop_out_is_not_identified(
    published_online_retail: SourcePaths,
) -> None:
    with duckdb.connect(str(published_online_retail.published_file), read_only=True) as connection:
        leaving = "model in ('bg_nbd', 'mbg_nbd', 'pareto_nbd')"
        today = rows(
            connection,
            f"select model, log_likelihood_gain, data_to from score_versions where {leaving}",
        )
        judged = rows(
            connection,
            "select model, log_likelihood_gain, note from model_quality where horizon_days = 90 "
            f"and cutoff_on = date '2011-09-10' and {leaving}",
        )
        scores = rows(connection, "select probability_alive, note from customer_scores")
        published = rows(connection, "select score, model from score_versions where is_chosen")
    assert {row["data_to"] for row in today} == {date(2011, 12, 9)}
    for fits in (today, judged):
        assert {row["model"] for row in fits} == {"bg_nbd", "mbg_nbd", "pareto_nbd"}
        assert max(row["log_likelihood_gain"] for row in fits) < 6
    assert all("drop-out is not identified" in row["note"] for row in judged)
    assert len(scores) > 4000
    assert {row["probability_alive"] for row in scores} == {None}
    (note,) = {row["note"] for row in scores}
    assert note.startswith("no probability_alive: drop-out is not identified")
    assert {(row["score"], row["model"]) for row in published} == {
        ("repurchase_probability_90d", "nbd"),
        ("expected_purchase_days", "nbd"),
        ("expected_order_value", "gamma_gamma"),
    }


# What a past day knows


def test_scores_as_of_a_past_day_use_nothing_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of = date(1998, 1, 31)
    paths = SourcePaths(tmp_path, "cdnow_in_parts")
    (tmp_path / "sources").mkdir()
    config = (PROJECT_DIR / "data" / "sources" / "cdnow_sample.yml").read_text()
    (tmp_path / "sources" / "cdnow_in_parts.yml").write_text(
        config.replace("package:lifetimes/datasets/CDNOW_sample.txt", '"*.txt"')
    )
    paths.landing.mkdir(parents=True)
    lines = [line for line in cdnow_file().read_text().splitlines() if line.strip()]
    past, future = (
        [line for line in lines if (line.split()[2] > f"{as_of:%Y%m%d}") == is_future]
        for is_future in (False, True)
    )
    # So that everything has something to leak: a new customer, and returns, which lower margins.
    future += ["99998 9998 19980201 2 20.00", "99998 9998 19980301 1 20.00"]
    future += [f"{line.split()[0]} 9999 19980401 1 -500.00" for line in past[:200]]
    assert len(past) > 5000
    assert len(future) > 1000
    source = load_source(paths)
    settings = source.model_settings() | {"first_day": source.first_day.isoformat()}
    dbt = start_dbt(paths.warehouse, settings)
    found = []
    for name, part in (("past", past), ("future", future)):
        (paths.landing / f"{name}.txt").write_text("\n".join(part))
        with connect(paths) as connection:
            prepare_raw(connection)
            for table in source.tables:
                load_table(connection, source, paths, table, batch_id=name)
        selected = "+int_purchase_histories", "+int_score_tests"
        no_tests = "--exclude-resource-type", "test", "unit_test"
        dbt("build", as_of, "--select", *selected, *no_tests)
        with connect(paths) as connection:
            scoring.write_scores(connection, scoring.Settings.of(source, as_of))
            found.append(
                {
                    table: connection.execute(
                        f"select * from scores.{table} order by all"
                    ).fetchall()
                    for table in score_tables.TABLES
                }
            )
            (line_count,) = connection.execute("select count(*) from raw.transactions").fetchone()
    before, after = found
    assert line_count == len(past) + len(future)
    assert len(before["customer_scores"]) == 2357
    for table in score_tables.TABLES:
        assert before[table], table
        assert after[table] == before[table], table
