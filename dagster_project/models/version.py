"""Which version of the models computed what the warehouse holds.

Days computed by another version of a model must not stay beside new ones: a change forces a full
build. See `CodeVersion` for why another program does not.
"""

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
