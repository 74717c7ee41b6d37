"""Scores of a batch of customers: what the choice publishes, and joint draws of their futures.

Belongs here: numbers in, numbers out. What is read from and written to the warehouse is in
`scoring` and `score_tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import expit, logit

from dagster_project.scores import rules
from dagster_project.scores.backtests import LAST, Backtest, CurrentFits
from dagster_project.scores.customer_base.fitting import Fit
from dagster_project.scores.customer_base.gamma_gamma import expected_order_value, simulate_spend
from dagster_project.scores.customer_base.purchase_models import MODELS
from dagster_project.scores.horizons import DECIDING_HORIZON, expected_purchase_days, horizons
from dagster_project.scores.rules import EMPIRICAL_TABLE, HIATUS_RULE
from dagster_project.scores.score_choice import Choice
from dagster_project.scores.snapshot import DAYS_PER_WEEK, Snapshot, history_of

# Draws of parameters, and with each a joint draw of all customers' futures.
DRAWS = 200
TAIL_SHARE = 0.05
# A next purchase more than ten years away is no date to plan with.
LONGEST_WAIT_DAYS = 3650


@dataclass(frozen=True)
class Scorer:
    """Everything that turns a customer's history into scores; the same for all customers.

    Attributes:
        discount_rate: What money in a year is worth less than today, as a share a year.
        margin_rate: Margin for each unit of the net revenue of purchase days, of the whole source.
        repurchase_forecast: A fitted model, the empirical table, the plain rule, or None.
        count_fit: The fitted model that forecasts purchases, or None.
        count_rules: By horizon in days, the plain rule that does where no model may.
        alive_fit: The fitted model that says who is still a customer, or None.
        order_value_fit: The fitted Gamma-Gamma model, or None.
    """

    discount_rate: float
    margin_rate: float
    repurchase_forecast: Fit | rules.EmpiricalTable | rules.HiatusRule | None = None
    count_fit: Fit | None = None
    count_rules: Mapping[int, rules.HiatusRule] = field(default_factory=dict)
    alive_fit: Fit | None = None
    order_value_fit: Fit | None = None

    @property
    def has_clv(self) -> bool:
        """Whether purchases and order values are both forecast by a model."""
        return self.count_fit is not None and self.order_value_fit is not None

    @cached_property
    def _parameter_draws(self) -> list[tuple[np.ndarray, np.ndarray]]:
        # One set of parameters a draw, the same for all customers: totals are uncertain together.
        rng = np.random.default_rng(0)
        return list(
            zip(
                self.count_fit.draws(DRAWS, rng),
                self.order_value_fit.draws(DRAWS, rng),
                strict=True,
            )
        )

    def scores(self, customers: Snapshot, mean_value: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scores that need no draws, NaN where none is published.

        Args:
            customers: As of the as-of date.
            mean_value: Shape (customers,): mean net revenue of the purchase days after the first.
        """
        nothing = np.full(len(customers), np.nan)
        history = history_of(customers)
        alive = {
            fit.model: MODELS[fit.model].probability_alive(fit.values, *history)
            for fit in (self.alive_fit, self.count_fit, self.repurchase_forecast)
            if isinstance(fit, Fit)
        }
        scores = {
            "probability_alive": nothing if self.alive_fit is None else alive[self.alive_fit.model],
            "repurchase_probability_90d": self._repurchase_probability(customers, alive),
            "days_to_next_purchase": nothing,
            "expected_order_value": nothing,
            "clv_365d": nothing,
        }
        if self.order_value_fit is not None:
            scores["expected_order_value"] = expected_order_value(
                self.order_value_fit.values, history[0], mean_value
            )
        if self.count_fit is None:
            for horizon in horizons():
                rule = self.count_rules.get(horizon)
                count = rule.forecast(customers).purchase_count if rule else nothing
                scores[expected_purchase_days(horizon)] = count
            return scores
        model, values = MODELS[self.count_fit.model], self.count_fit.values
        repeat_count, _, observed = history

        def expected(days: float) -> np.ndarray:
            return alive[self.count_fit.model] * model.expected_if_alive(
                values, repeat_count, observed, days / DAYS_PER_WEEK
            )

        for horizon in horizons():
            scores[expected_purchase_days(horizon)] = expected(horizon)
        wait = model.median_wait(values, *history) * DAYS_PER_WEEK
        scores["days_to_next_purchase"] = np.where(wait <= LONGEST_WAIT_DAYS, np.ceil(wait), np.nan)
        if self.has_clv:
            # Each quarter's purchases are discounted from its middle.
            ends = [0.25, 0.5, 0.75, 1.0]
            until = [np.zeros(len(customers)), *(expected(365 * end) for end in ends)]
            discounted = sum(
                (after - before) * (1 + self.discount_rate) ** (0.125 - end)
                for before, after, end in zip(until, until[1:], ends, strict=False)
            )
            scores["clv_365d"] = discounted * scores["expected_order_value"] * self.margin_rate
        return scores

    def draws(
        self, customers: Snapshot, mean_value: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Return joint draws of the discounted margin of the next 365 days.

        A draw has its own parameters, the same for all customers; then each customer's drop-out,
        purchases and what they spend. Purchases are spread evenly over the time until drop-out.

        Returns:
            Shape (customers, draws).
        """
        repeat_count, last_at, observed = history_of(customers)
        model = MODELS[self.count_fit.model]
        horizon = 365 / DAYS_PER_WEEK
        rate = np.log1p(self.discount_rate) / horizon
        odds, slopes = self._alive_odds(repeat_count, last_at, observed)
        values = np.zeros((len(customers), DRAWS), dtype=np.float32)
        for number, (parameters, order_parameters) in enumerate(self._parameter_draws):
            change = np.log(parameters / self.count_fit.values)
            chance = expit(odds + change @ slopes)
            count, active = model.simulate(
                parameters, repeat_count, last_at, observed, horizon, rng, chance
            )
            buyers = np.flatnonzero(count)
            spend = simulate_spend(
                order_parameters, repeat_count[buyers], mean_value[buyers], count[buyers], rng
            )
            values[buyers, number] = spend * _mean_discount(rate * active[buyers])
        values *= self.margin_rate
        return values

    def _alive_odds(self, *history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log odds of being alive, and their slopes by the logarithm of each parameter.

        Parameters are drawn close to the fit, where odds are all but straight: the chance need not
        be computed anew for every draw.

        Returns:
            Shapes (customers,) and (k, customers); where nobody can have left, infinite and 0.
        """
        model, values = MODELS[self.count_fit.model], self.count_fit.values

        def odds(parameters: np.ndarray) -> np.ndarray:
            return logit(model.probability_alive(parameters, *history))

        middle, step = odds(values), 1e-3
        with np.errstate(invalid="ignore"):
            slopes = [
                (odds(values * np.exp(shift)) - middle) / step
                for shift in step * np.eye(len(values))
            ]
        return middle, np.where(np.isfinite(middle), slopes, 0.0)

    def _repurchase_probability(
        self, customers: Snapshot, alive: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        forecast = self.repurchase_forecast
        if forecast is None:
            return np.full(len(customers), np.nan)
        if isinstance(forecast, rules.EmpiricalTable | rules.HiatusRule):
            return forecast.forecast(customers).repurchase_probability
        repeat_count, _, observed = history_of(customers)
        return alive[forecast.model] * MODELS[forecast.model].return_if_alive(
            forecast.values, repeat_count, observed, DECIDING_HORIZON / DAYS_PER_WEEK
        )


def _mean_discount(exponent: np.ndarray) -> np.ndarray:
    """Return the mean of exp(-u) for u spread evenly from 0 to the exponent."""
    small = np.maximum(exponent, 1e-9)
    return -np.expm1(-small) / small


def interval(draws: np.ndarray) -> np.ndarray:
    """Return the ends of the 90% interval of draws.

    Args:
        draws: Shape (n, draws).

    Returns:
        Shape (2, n): as many draws lie below the first as above the second, a tenth in all.
    """
    count = draws.shape[1]
    outside = round(count * TAIL_SHARE)
    ends = [outside, count - 1 - outside]
    return np.partition(draws, ends, axis=1)[:, ends].T.astype(float)


def make_scorer(
    discount_rate: float,
    margin_rate: float,
    tests: Mapping[tuple[int, int], Backtest],
    today: CurrentFits,
    choices: Mapping[str, Choice],
) -> Scorer:
    """Return the scorer that the choices make."""
    published = {score: choice.published for score, choice in choices.items()}
    learnt_from = {
        horizon: test.customers for (horizon, step), test in tests.items() if step == LAST
    }
    repurchase_forecast = today.fits.get(published["repurchase_probability_90d"])
    if published["repurchase_probability_90d"] == EMPIRICAL_TABLE:
        repurchase_forecast = rules.EmpiricalTable.learn(learnt_from[DECIDING_HORIZON])
    elif published["repurchase_probability_90d"] == HIATUS_RULE:
        repurchase_forecast = rules.HiatusRule.learn(learnt_from[DECIDING_HORIZON])
    count_rules = {}
    if published["expected_purchase_days"] == HIATUS_RULE:
        count_rules = {
            horizon: rules.HiatusRule.learn(customers) for horizon, customers in learnt_from.items()
        }
    return Scorer(
        discount_rate=discount_rate,
        margin_rate=margin_rate,
        repurchase_forecast=repurchase_forecast,
        count_fit=today.fits.get(published["expected_purchase_days"]),
        count_rules=count_rules,
        alive_fit=today.fits.get(published["probability_alive"]),
        order_value_fit=today.order_value_fit if published["expected_order_value"] else None,
    )
