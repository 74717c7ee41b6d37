"""Which version of the models computed what the warehouse holds, and of what each table is.

Days computed by another version of a model must not stay beside new ones: a change forces a full
build. See `CodeVersion` for why another program does not. A person may build a few tables by
themselves; a release is made of tables that were all built from the same.
"""

from collections.abc import Collection, Sequence

from dagster_project.paths import SourcePaths
from dagster_project.release.identity import CodeVersion
from dagster_project.warehouse import connect


def models_have_changed(paths: SourcePaths, code: CodeVersion) -> bool:
    """Return whether the models differ from those that computed what the warehouse holds."""
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute("create table if not exists audit.models (version varchar)")
        # By position: an older warehouse names the column otherwise, and is built anew.
        built_with = connection.execute("select * from audit.models").fetchone()
    return built_with != (code.models,)


def note_models(paths: SourcePaths, code: CodeVersion) -> None:
    """Record the version of the models that the warehouse was just built with."""
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(
            "create or replace table audit.models as select ? as version", [code.models]
        )


def forget_built(paths: SourcePaths, tables: Collection[str]) -> None:
    """Note of tables, named `schema/table`, that they are about to be replaced."""
    with connect(paths) as connection:
        connection.execute("create schema if not exists audit")
        connection.execute(
            "create table if not exists audit.built (table_name varchar, release_id varchar)"
        )
        connection.execute(
            "delete from audit.built where list_contains(?, table_name)", [list(tables)]
        )


def note_built(
    paths: SourcePaths, tables: Collection[str], made_from: Collection[str], release_id: str
) -> None:
    """Record that tables are those of a release, if the tables they were made from are.

    Args:
        paths: Folders of the source.
        tables: What was built now, together.
        made_from: The other tables of models and scores that were read for it.
        release_id: The release that files, settings, as-of date and code give.
    """
    if other_than(paths, made_from, release_id):
        return
    with connect(paths) as connection:
        connection.execute(
            "insert into audit.built select unnest(?), ?", [list(tables), release_id]
        )


def missing_tables(paths: SourcePaths, tables: Collection[str]) -> Sequence[str]:
    """Return which tables and views, named `schema/table`, are not in the warehouse."""
    with connect(paths) as connection:
        there = connection.execute(
            "select table_schema || '/' || table_name from information_schema.tables "
            "where table_catalog = current_database()"
        ).fetchall()
    return sorted(set(tables) - {table for (table,) in there})


def other_than(paths: SourcePaths, tables: Collection[str], release_id: str) -> Sequence[str]:
    """Return which tables are of another release, or of none that is known."""
    with connect(paths, read_only=True) as connection:
        is_noted = connection.execute(
            "select count(*) > 0 from duckdb_tables() "
            "where schema_name = 'audit' and table_name = 'built'"
        ).fetchone()[0]
        noted = (
            connection.execute(
                "select table_name from audit.built where release_id = ?", [release_id]
            ).fetchall()
            if is_noted
            else []
        )
    return sorted(set(tables) - {table for (table,) in noted})
