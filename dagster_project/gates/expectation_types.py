"""What the suites ask that Great Expectations cannot: three types of expectation.

A suite names them in snake case, such as `expect_no_row_where`; GX knows a type once its class is
imported. Importing this module loads GX, which takes seconds: only `judging` does it.
"""

from typing import Any, ClassVar

from great_expectations.compatibility import pydantic
from great_expectations.expectations.expectation import BatchExpectation

from dagster_project.gates.outcomes import counted
from dagster_project.loading.contacts import holds_contact


class ExpectQueryToFindNothingUnexpected(BatchExpectation):
    """Passes when its SQL counts nothing unexpected.

    The SQL returns exactly one row, computed inside DuckDB whatever the size of the table:
    `evaluated_count`, `unexpected_count`, `example_ids` (a list) and, where a number says more
    than the count, `observed_value` and `threshold` as text. Unlike the built-in
    UnexpectedRowsExpectation it observes something when it passes too, fetches no rows and runs
    its query once.

    `{batch}` stands for the table and must not be given an alias. GX reads other braces, and
    SQLAlchemy a colon before a word, as placeholders; a cast by `::` is fine.
    """

    query: str = pydantic.Field(description="SQL that returns one row")

    metric_dependencies: ClassVar[tuple[str, ...]] = ("query.table",)
    success_keys: ClassVar[tuple[str, ...]] = ("query",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    @pydantic.validator("query", pre=True)
    def _join_lines(cls, query: str | list[str]) -> str:  # noqa: N805
        """Let a suite file hold the SQL as one string per line."""
        return query if isinstance(query, str) else "\n".join(query)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        (row,) = metrics["query.table"]
        return _judged(
            row["evaluated_count"],
            row["unexpected_count"],
            row["example_ids"] or [],
            row.get("observed_value"),
            row.get("threshold"),
        )


class ExpectNoRowWhere(ExpectQueryToFindNothingUnexpected):
    """Passes when an SQL condition holds for no row; unknown counts as not holding.

    The condition may use window functions and subqueries. Examples are named by `id_columns`.
    """

    condition: str = pydantic.Field(description="SQL that is true for an unexpected row")
    id_columns: list[str] = pydantic.Field(description="Columns that name a row")
    query: str = ""

    @pydantic.validator("condition", pre=True)
    def _join_condition(cls, condition: str | list[str]) -> str:  # noqa: N805
        """Let a suite file hold the condition as one string per line."""
        return condition if isinstance(condition, str) else "\n".join(condition)

    @pydantic.root_validator(skip_on_failure=True)
    def _write_query(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        """Write the query; only unexpected rows cost the making of an id."""
        ids = ", ".join(values["id_columns"])
        query = f"""
            select
                count(*) as evaluated_count,
                count(*) filter (where is_unexpected) as unexpected_count,
                min(case when is_unexpected then concat_ws(':', {ids}) end, 5) as example_ids
            from (select {ids}, ({values["condition"]}) as is_unexpected from {{batch}})
        """
        return values | {"query": query}


class ExpectNoContactIn(ExpectQueryToFindNothingUnexpected):
    """Passes when no text of the columns has the shape of a contact (`loading.contacts`).

    Columns in `contact_columns` of `audit.limits` may. Examples are columns, never values.
    """

    columns: list[str] = pydantic.Field(description="Columns that hold text")
    query: str = ""

    @pydantic.root_validator(skip_on_failure=True)
    def _write_query(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        counts = ", ".join(
            f"count(*) filter ({holds_contact(name)}) as {name}" for name in values["columns"]
        )
        pairs = ", ".join(f"('{name}', {name})" for name in values["columns"])
        query = f"""
            with counted as (select count(*) as row_count, {counts} from {{batch}}),
            by_column as (
                select unnest([{pairs}]) as pair, row_count from counted
            ),
            judged as (
                select
                    pair[1] as name, pair[2] as contact_count, row_count,
                    contact_count > 0 and not list_contains(contact_columns, name)
                        as is_unexpected
                from by_column, warehouse.audit.limits
            )
            select
                coalesce(max(row_count), 0) as evaluated_count,
                coalesce(sum(contact_count) filter (is_unexpected), 0)::bigint as unexpected_count,
                list(name order by name) filter (is_unexpected) as example_ids,
                coalesce(
                    string_agg(name || ' ' || contact_count, ', ' order by name)
                        filter (is_unexpected),
                    'none'
                ) as observed_value
            from judged
        """
        return values | {"query": query}


class ExpectTableToMatchContract(BatchExpectation):
    """Passes when the table has exactly these columns with exactly these types."""

    columns: dict[str, str] = pydantic.Field(description="DuckDB type of each column")
    query: str = "select column_name, column_type from (describe select * from {batch})"

    metric_dependencies: ClassVar[tuple[str, ...]] = ("query.table",)
    success_keys: ClassVar[tuple[str, ...]] = ("columns", "query")
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        actual = {row["column_name"]: row["column_type"] for row in metrics["query.table"]}
        faults = [
            f"{name} {actual.get(name, 'missing')}"
            for name in sorted(self.columns.keys() | actual.keys())
            if self.columns.get(name) != actual.get(name)
        ]
        return _judged(len(actual), len(faults), faults[:5], ", ".join(faults) or None, None)


def _judged(
    evaluated_count: int,
    unexpected_count: int,
    example_ids: list[Any],
    observed_value: str | None,
    threshold: str | None,
) -> dict[str, Any]:
    """Return a verdict in the form GX stores; the data docs list `partial_unexpected_list`."""
    return {
        "success": unexpected_count == 0,
        "result": {
            "element_count": evaluated_count,
            "unexpected_count": unexpected_count,
            "unexpected_percent": 100 * unexpected_count / max(evaluated_count, 1),
            "observed_value": observed_value
            or f"{counted(unexpected_count, evaluated_count)} unexpected",
            "threshold": threshold,
            "partial_unexpected_list": [str(example) for example in example_ids],
        },
    }
