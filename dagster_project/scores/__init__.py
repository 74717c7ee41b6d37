"""Forecasts of every buyer: models, how good each is, which one publishes, the scores.

Belongs here: numbers in, numbers out, over Arrow and numpy. Which customers and which rows is up to
the models of dbt.
"""
