"""Releases: what one is made from, built beside the current one, switched and rolled back.

Belongs here: everything that writes below `<data dir>/published/` and the history in the state, by
the way of a release: `identity`, `candidate` (with its `tables`), `manifest`, `state`, `publish`,
and by that of a fault: `check`, `recover`, `verify`. Readers go through `links`. What a run stands
on is looked at by `ready`, against what the last release was `made_from`; `backup` keeps what no
run can make again.
Not here: judging (`gates`), computing tables (`models`, `scores`), and when a release is wanted.
Callers hold the source's lock, except for the functions that only read.
"""
