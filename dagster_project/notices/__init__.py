"""Telling a person what became of a run: which notices are due, and bringing them to an address.

Belongs here: what is told, once an event, and sending it without harm. What happened is found out
by who calls: `runs` for every run of Dagster, the command line and the ticks for what fails before.
"""
