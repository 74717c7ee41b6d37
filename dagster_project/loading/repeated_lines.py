"""Lines of one present file that stand again in another: the same sale delivered twice.

Lines are the same where every loaded column is equal. With a transaction id each line counts for
itself. Without one, equal lines may be two purchases, so only a whole day of the one file that
stands in the other counts. Superseded and excluded lines are not compared.

`raw.compared_days` (grain: day and file, of days that several present files hold) says what was
compared: how many lines, and of which batch. A day whose files or batches have changed since is
compared anew, whatever changed it: a load, a name, a file that went, a row superseded.
`raw.repeated_lines` (grain: day and pair of files) has what was found. The raw gate judges it.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import duckdb

from dagster_project.config import canonical
from dagster_project.config.tables import TableSource
from dagster_project.warehouse import identifier

# Lines compared in one go; a day alone may be more, and then spills to disk.
LINES_AT_ONCE = 5_000_000
# Fewer lines of a day without transaction ids can be equal by chance.
LINES_OF_A_DAY = 5
_NOT_COMPARED = ("ordered_on", "excluded_reason")


def settle_repeated_lines(connection: duckdb.DuckDBPyConnection, declared: TableSource) -> None:
    """Bring `raw.compared_days` and `raw.repeated_lines` up to date with raw."""
    allowed = declared.repeated_lines == "allowed"
    connection.execute(
        f"""
        create or replace temp table shared_days as
        select
            ordered_on, source_file, batch_id, row_count,
            dense_rank() over (order by source_file) as file
        from raw.load_days
        semi join (from raw.loads where table_name = 'transactions' and is_present)
            using (source_file)
        where {not allowed}
        qualify count(*) over (partition by ordered_on) > 1
        """
    )
    connection.execute(
        """
        create or replace temp table stale_days as
        with now as (select ordered_on, source_file, batch_id from shared_days),
        former as (select ordered_on, source_file, batch_id from raw.compared_days)
        select distinct ordered_on
        from ((from now except from former) union all (from former except from now))
        """
    )
    for table in ("compared_days", "repeated_lines"):
        connection.execute(
            f"delete from raw.{table} where ordered_on in (select ordered_on from stale_days)"
        )
    days = connection.execute(
        "select ordered_on, sum(row_count)::bigint from shared_days "
        "semi join stale_days using (ordered_on) group by all order by all"
    ).fetchall()
    for first, last in _spans(days):
        _compare(connection, first, last)


def _spans(days: Sequence[tuple[date, int]]) -> Iterator[tuple[date, date]]:
    """Yield first and last day of spans that have few enough lines to compare in one go."""
    first, line_count = None, 0
    for index, (day, lines) in enumerate(days):
        if first is not None and line_count + lines > LINES_AT_ONCE:
            yield first, days[index - 1][0]
            first, line_count = None, 0
        first = first or day
        line_count += lines
    if first is not None:
        yield first, days[-1][0]


def _compare(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
    """Compare the stale days of a span."""
    columns = [c.name for c in canonical.TRANSACTIONS.columns if c.name not in _NOT_COMPARED]
    compared = ", ".join(identifier(name) for name in [*columns, "amount_original"])
    # The hash of a line lives as long as this comparison: DuckDB may change it between versions.
    connection.execute(
        f"""
        create or replace temp table compared_lines as
        select
            ordered_on, file, transaction_id is not null as has_id,
            customer_id is not null as has_customer, hash({compared}) as line
        from raw.transactions
        join (from shared_days semi join stale_days using (ordered_on))
            using (ordered_on, source_file)
        where excluded_reason is null and ordered_on between ? and ?
        """,
        [first, last],
    )
    connection.execute(
        """
        create or replace temp table compared_files as
        with counts as (
            select ordered_on, file, count(*) as line_count, count_if(not has_id) as without_id
            from compared_lines group by all
        )
        select
            ordered_on, file, source_file, batch_id,
            coalesce(line_count, 0) as line_count, coalesce(without_id, 0) as without_id
        from shared_days
        semi join stale_days using (ordered_on)
        left join counts using (ordered_on, file)
        where ordered_on between ? and ?
        """,
        [first, last],
    )
    connection.execute(
        "insert into raw.compared_days "
        "select ordered_on, source_file, batch_id, line_count from compared_files order by all"
    )
    # Lines that the same files hold are counted together before files are paired: of hundreds of
    # cumulative exports the pairs of every single line would be too many.
    connection.execute(
        f"""
        insert into raw.repeated_lines
        with standing as (
            select ordered_on, line from compared_lines group by all having min(file) < max(file)
        ),
        held as (
            select ordered_on, line, has_id, has_customer, file, count(*) as times
            from compared_lines semi join standing using (ordered_on, line) group by all
        ),
        holders as (
            select
                ordered_on, has_id, has_customer,
                list({{file: file, times: times}} order by file) as files
            from held group by ordered_on, line, has_id, has_customer
        ),
        alike as (
            select ordered_on, has_id, has_customer, files, count(*) as holder_count
            from holders group by all
        ),
        unnested as (
            select *, unnest(files) as one from alike
        ),
        paired as (
            select * exclude files, unnest(list_filter(files, lambda f: f.file > one.file)) as other
            from unnested
        ),
        pairs as (
            select
                ordered_on, one.file as file, other.file as other_file, has_id, has_customer,
                holder_count * least(one.times, other.times) as line_count
            from paired
        ),
        summed as (
            select
                ordered_on, file, other_file,
                coalesce(sum(line_count) filter (has_id), 0) as with_id,
                coalesce(sum(line_count) filter (not has_id), 0) as without_id,
                coalesce(sum(line_count) filter (not has_id and has_customer), 0) as of_customers
            from pairs group by all
        ),
        judged as (
            select
                ordered_on, mine.source_file, theirs.source_file as other_file, with_id,
                summed.without_id,
                -- Few lines without a customer stand in a longer day by chance.
                summed.without_id = least(mine.without_id, theirs.without_id)
                and (mine.without_id = theirs.without_id or of_customers >= {LINES_OF_A_DAY})
                    as is_whole,
                summed.without_id >= {LINES_OF_A_DAY} as is_enough
            from summed
            join compared_files as mine using (ordered_on, file)
            join compared_files as theirs
                on summed.other_file = theirs.file and summed.ordered_on = theirs.ordered_on
        )
        select
            ordered_on, source_file, other_file,
            with_id + if(is_whole and is_enough, without_id, 0) as line_count,
            if(is_whole and not is_enough, without_id, 0) as few_line_count
        from judged
        where line_count > 0 or few_line_count > 0
        order by all
        """
    )
    for table in ("compared_lines", "compared_files"):
        connection.execute(f"drop table {table}")
