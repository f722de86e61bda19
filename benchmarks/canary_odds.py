"""How often ratings take a canary away: one that is as good, one that is a little worse, and one that is much worse.

python benchmarks/canary_odds.py [--houses 2000]

Each house rates both builds so often as ``canary.ratings`` says, and looks after every fifth rating from ``canary.least_ratings`` on.
"""

from __future__ import annotations

import argparse
import random

from bot.config import CanarySettings
from bot.jobs.canary import decide
from bot.memory.figures import compared

USUAL = (1, 1, 2, 4, 5, 5, 5)  # thumbs mostly, and a few stars
BUILDS = {"as good": USUAL, "0.7 stars worse": (1, 1, 1, 3, 4, 4, 4), "1.4 stars worse": (1, 1, 1, 1, 2, 2, 5)}
EVERY = 5


def taken_away(new: tuple[int, ...], draw: random.Random, settings: CanarySettings) -> bool:
    """Whether one house takes it away before it has rated enough."""
    stars: list[int] = []
    others: list[int] = []
    while len(stars) < settings.ratings:
        stars.append(draw.choice(new))
        others.append(draw.choice(USUAL))
        verdict = decide(compared("new", stars, "old", others), settings, over=False) if len(stars) % EVERY == 0 else None
        if verdict is not None:
            return not verdict
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--houses", type=int, default=2000)
    houses = parser.parse_args().houses
    draw, settings = random.Random(4), CanarySettings()
    for name, ratings in BUILDS.items():
        gone = sum(taken_away(ratings, draw, settings) for _ in range(houses))
        print(f"{name}: taken away in {gone / houses:.1%} of {houses:,} houses")


if __name__ == "__main__":
    main()
