"""One run of a source: which days it loads, one at a time, how far it is, Dagster's log of it.

Belongs here: what holds for a run as a whole and for none of its steps.
"""
