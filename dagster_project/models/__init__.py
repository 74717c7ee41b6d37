"""dbt: the project as Dagster sees it, and running it on a warehouse.

Belongs here: what Python knows of dbt. The models themselves are in `dbt/`.
"""
