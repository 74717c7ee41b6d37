"""What is normal in an industry: how often customers buy, how long they stay, what they buy."""

from dataclasses import dataclass

from dagster_project.config.source import Source


@dataclass(frozen=True)
class Profile:
    """What is normal in an industry.

    Attributes:
        purchase_shape: Shape of the gamma distribution of the purchase rates, a multiple of 1/2;
            the smaller, the more the customers differ.
        purchase_days: Days between purchases at the mean purchase rate. A third of the days after
            which the industry takes a silent customer for lost.
        lifetime_shape: Shape of the gamma distribution of the drop-out rates, a multiple of 1/2.
        lifetime_days: Its scale: a lifetime exceeds t days with probability
            (lifetime_days / (lifetime_days + t)) ** lifetime_shape.
        dropout_leave: First parameter of the beta distribution of the drop-out probabilities, a
            multiple of 1/2; dropout_leave / (dropout_leave + dropout_stay) of the customers leave
            after their first repeat purchase.
        dropout_stay: Second parameter, a multiple of 1/2.
        order_value: Mean value of a basket over the customers.
        season: How busy each month of the year is, January first; only the relation counts.
        categories: Names of the product groups.
    """

    purchase_days: float
    order_value: float
    season: tuple[int, ...]
    categories: tuple[str, ...]
    purchase_shape: float = 1.5
    lifetime_shape: float = 1.5
    lifetime_days: float = 60
    dropout_leave: float = 1.0
    dropout_stay: float = 3.0


EVEN_SEASON = (95, 93, 98, 100, 102, 101, 97, 96, 101, 102, 105, 110)
GENERAL = Profile(
    purchase_days=61,
    order_value=60,
    season=EVEN_SEASON,
    categories=("basic", "standard", "premium", "service", "spare parts"),
    lifetime_days=200,
)
PROFILES = {
    "restaurant": Profile(
        purchase_days=10,
        order_value=45,
        season=(85, 90, 95, 100, 110, 115, 115, 110, 100, 95, 90, 105),
        categories=("starters", "mains", "desserts", "drinks", "menus"),
        lifetime_days=25,
        dropout_stay=2.0,
    ),
    "grocery": Profile(
        purchase_days=30,
        order_value=40,
        season=(95, 90, 98, 102, 98, 96, 90, 92, 100, 100, 108, 131),
        categories=("produce", "dairy", "bakery", "meat", "drinks", "pantry", "household"),
        lifetime_days=100,
    ),
    "fast_moving_goods": Profile(
        purchase_days=30,
        order_value=35,
        season=EVEN_SEASON,
        categories=("care", "cleaning", "snacks", "drinks", "pets", "baby"),
        lifetime_days=100,
    ),
    "dentist": Profile(
        purchase_days=61,
        order_value=140,
        season=(105, 105, 110, 100, 100, 95, 80, 75, 100, 110, 115, 105),
        categories=("check-up", "cleaning", "filling", "prosthesis", "whitening"),
        purchase_shape=2.5,
        lifetime_days=300,
    ),
    "mobile_app": Profile(
        purchase_days=70,
        order_value=12,
        season=EVEN_SEASON,
        categories=("subscription", "credits", "upgrade", "gift"),
        lifetime_days=200,
    ),
    "durables": Profile(
        purchase_days=121,
        order_value=420,
        season=(90, 85, 95, 100, 100, 95, 90, 90, 95, 100, 125, 135),
        categories=("kitchen", "laundry", "audio", "furniture", "garden", "accessories"),
        lifetime_days=600,
    ),
}


def profile_of(source: Source) -> Profile:
    """Return what is normal in the source's industry, or in general if nothing is known of it."""
    return PROFILES.get(source.industry, GENERAL)
