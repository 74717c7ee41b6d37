"""The rules of the tables, read plainly: customer by customer and day by day, without any SQL.

A module a subject, as in dbt/models; a function named after a table returns the rows it should
hold, given all that is known of a shop. Beside them what several subjects rest on: `numbers`,
`worth`, `life`, `known`, the only class with state. No model is asked here, and no file is read but
the seeds, which are rules themselves.
"""
