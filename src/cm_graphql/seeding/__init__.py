"""Data to try the product with: a small hand-made set for the tour, and as many made-up documents as wanted."""

from cm_graphql.seeding.demo import demo
from cm_graphql.seeding.seed import seed

__all__ = ["demo", "seed"]
