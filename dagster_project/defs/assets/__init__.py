"""Dagster assets: the raw tables, the dbt models, the scores and the release.

Belongs here: what exists, what it is made from and what a person sees of it in the UI. How it is
made is in the folders below. Keys are `layer/table`, which is also the schema and table in DuckDB;
groups are layers.
"""
