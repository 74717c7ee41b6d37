"""Definitions of lost and the presets of industries; each fault is named by the release gate."""

from pathlib import Path

from support.gate_cases import Fault, each, expectations, found, meant, shown

# table, fault, expectation, observed value, first example
FAULTS = [
    ("churn_definitions", "update churn_definitions set is_in_force = false",
     "one_in_force", "0 in force", "active 0001-01-01"),
    ("churn_definitions", "insert into churn_definitions by name select * replace"
     " (date '2024-03-31' as valid_from, false as is_in_force) from churn_definitions"
     " where definition_id = 'active'",
     "one_in_force", "1 in force", "active 0001-01-01"),
    ("churn_definitions", "update churn_definitions set basis = 'whim'"
     " where definition_id = 'fixed_60'",
     "versions_distinct", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "update churn_definitions set minimum_lost_days = 0"
     " where definition_id = 'cadence_3'",
     "thresholds_positive", "1 of 6 unexpected", "cadence_3:0001-01-01"),
    ("churn_definitions", "update churn_definitions set repeat_lost_days = null"
     " where definition_id = 'fixed_60'",
     "thresholds_positive", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "update churn_definitions set description_zh = ''"
     " where definition_id = 'fixed_60'",
     "descriptions_present", "1 of 6 unexpected", "fixed_60:0001-01-01"),
    ("churn_definitions", "delete from churn_definitions where method = 'nobody_lost'",
     "yardsticks_present", "1 of 2 yardsticks", None),
    ("churn_presets", "update churn_presets set industry = 'gym' where industry = 'saas'",
     "versions_distinct", "2 of 17 unexpected", "gym:2000-01-01"),
    ("churn_presets", "update churn_presets set industry = 'any' where industry = 'default'",
     "default_present", "0 rows of industry default", None),
    ("churn_presets", "update churn_presets set quantile = .9 where industry = 'gym'",
     "parameters_as_method_needs", "1 of 17 unexpected", "gym:2000-01-01"),
    ("churn_presets", "update churn_presets set description_zh = null where industry = 'gym'",
     "descriptions_present", "1 of 17 unexpected", "gym:2000-01-01"),
]  # fmt: skip


@each(FAULTS)
def test_release_fault_is_named(fault: Fault, release: Path, warehouse: Path) -> None:
    assert found(fault, release, warehouse) == meant(fault)


def test_every_release_expectation_is_shown_to_fail() -> None:
    assert shown("churn_definitions", FAULTS) == expectations("churn_definitions")
