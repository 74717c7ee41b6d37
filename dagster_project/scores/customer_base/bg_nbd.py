"""BG/NBD: customers leave after each purchase but the first."""

from dagster_project.scores.customer_base.beta_geometric import BetaGeometric


class BgNbd(BetaGeometric):
    """Fader, Hardie and Lee 2005, "Counting your customers the easy way": (r, alpha, a, b).

    To it whoever bought once is alive for certain.
    """

    first = 0
