"""Round after round, from a seed, until the time is up."""

import random
import time
from collections import Counter

from ringpool.soak.mixed import mixed
from ringpool.soak.plain import plain

KINDS = {"plain": plain, "mixed": mixed}


class Soak:
    """
    Rounds of *kinds*, each drawn from *seed* and its own number alone.

    *again*: the number of a round that is played over and over; None: all of
    them, from 1 on. *stopping*: an Event that ends the round that is played,
    and the soak. *share*: of the jobs of each round.
    """

    def __init__(self, seed, kinds, again, stopping, share=1.0):
        self.seed = seed
        self.number = again or 1
        """Of the round that is played."""
        self.ways = Counter()
        """How many jobs have ended in which way, by now."""
        self.rounds = Counter()
        """How many were played, by kind."""
        self.seconds = Counter()
        """How long they took, by kind."""
        self.jobs = Counter()
        """How many jobs they had, by kind."""
        self.told = ""
        """How the round that is played was made."""
        self._kinds = kinds
        self._again = again
        self._share = share
        self._stopping = stopping

    def play(self, seconds, begin):
        """Play for so long; what was wrong in a round, which is the last one then. *begin* is called before each."""
        until = time.monotonic() + seconds
        while True:
            begin()
            wrong = self._play_one()
            if wrong or self._stopping.is_set() or time.monotonic() >= until:
                return wrong
            if not self._again:
                self.number += 1

    def _play_one(self):
        dice = random.Random(f"{self.seed}/{self.number}")
        kind = dice.choice(self._kinds)
        start = time.monotonic()
        one = KINDS[kind](dice, self._stopping, self._share)
        self.told = one.told
        ways, wrong = one.play()
        self.ways += ways
        self.rounds[kind] += 1
        self.jobs[kind] += sum(ways.values())
        self.seconds[kind] += time.monotonic() - start
        return wrong

    def as_json(self):
        """What JSON can express of it."""
        kinds = {
            kind: {"rounds": self.rounds[kind], "jobs": self.jobs[kind], "seconds": round(self.seconds[kind], 3)}
            for kind in self.rounds
        }
        return {"seed": self.seed, "last_round": self.number, "kinds": kinds, "ended": dict(self.ways)}
