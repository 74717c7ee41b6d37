"""Releases: what one is made from, built beside the current one, switched and rolled back.

Belongs here: everything that writes below `<data dir>/published/` and the history in the state.
"""
