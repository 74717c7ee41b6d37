"""How much data a fit needs."""

import numpy as np

from dagster_project.scores.customer_base.histories import Limits


def test_too_little_data_is_said_so() -> None:
    limits = Limits()
    repeat_count = np.array([1] * 50 + [0] * 450)

    assert limits.reason(repeat_count, np.full(500, 180)) is None
    assert limits.reason(repeat_count[1:], np.full(499, 180)) == (
        "too little data: 499 buyers of the 500 needed"
    )
    assert limits.reason(repeat_count, np.full(500, 179)) == (
        "too little data: 179 days of data of the 180 needed"
    )
    assert limits.reason(np.minimum(repeat_count, np.arange(500)), np.full(500, 180)) == (
        "too little data: 49 buyers with a second purchase of the 50 needed"
    )
    assert limits.reason(np.array([]), np.array([])) == (
        "too little data: 0 buyers of the 500 needed"
    )
