"""MBG/NBD: customers leave after each purchase, also after the first."""

from dagster_project.scores.customer_base.beta_geometric import BetaGeometric


class MbgNbd(BetaGeometric):
    """Batislam, Denizel and Filiztekin 2007: (r, alpha, a, b)."""

    first = 1
