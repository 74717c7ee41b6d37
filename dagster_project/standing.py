"""What readers have now, and the words for it: every message that says what stands has them here.

Belongs here: reading the links, so that no message says what another one denies. Who moves them is
in `release`.
"""

from dataclasses import dataclass

from dagster_project.paths import SourcePaths


@dataclass(frozen=True)
class Standing:
    """The release that readers have; one that was found damaged may stay for its whole file."""

    release_id: str
    is_damaged: bool = False


def standing(paths: SourcePaths) -> Standing | None:
    """Return what readers have that open the published file; None if they find nothing."""
    try:
        folder = paths.current.resolve()
    except RuntimeError:
        # A link to itself.
        return None
    if folder.parent not in (paths.releases.resolve(), paths.damaged.resolve()):
        return None
    if not (folder / paths.published_file.name).is_file():
        return None
    return Standing(folder.name, is_damaged=folder.parent == paths.damaged.resolve())


def what_stands(paths: SourcePaths) -> str:
    """Return in a sentence what readers have, and how they get something if that is nothing."""
    try:
        return _in_words(paths, standing(paths))
    except OSError as error:
        # Said beside another fault, which counts for more.
        return f"What readers of {paths.source} have cannot be told: {error.strerror}."


def _in_words(paths: SourcePaths, now: Standing | None) -> str:
    if now is None:
        others = "; or give them a kept one with `winback rollback ID` (`winback releases`)"
        is_choice = any(paths.releases.glob("[!.]*/manifest.json"))
        return (
            f"Readers of {paths.source} have no release until a run publishes one"
            f"{others if is_choice else ''}."
        )
    if now.is_damaged:
        return (
            f"Readers keep the {paths.published_file.name} of release {now.release_id}, which is "
            "whole though other files of the release are damaged."
        )
    return f"Readers keep release {now.release_id}."
