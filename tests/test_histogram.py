"""Histogram: the index of a bucket, and percentiles against exact ones."""

import math
import random

import pytest

from ringpool.histogram import BUCKETS, SUB_BUCKETS, Histogram, bucket_of, lower_bound


def exact(times, p):
    """Nearest rank, in nanoseconds; p is a whole number of thousandths of a percent."""
    rank = max(1, math.ceil(p * 1000 * len(times) / 100_000))
    return sorted(times)[rank - 1]


def test_buckets_follow_each_other_without_a_gap():
    assert lower_bound(0) == 0
    for index in range(BUCKETS):
        first, end = lower_bound(index), lower_bound(index + 1)
        assert first < end
        assert bucket_of(first) == bucket_of(end - 1) == index


def test_the_last_bucket_ends_where_a_signed_64_bit_number_does():
    assert bucket_of(2**63 - 1) == BUCKETS - 1
    assert lower_bound(BUCKETS) == 2**63


def test_what_does_not_fit_is_counted_at_the_end_that_it_passed():
    assert bucket_of(-1) == bucket_of(-(2**63)) == 0
    assert bucket_of(2**63) == bucket_of(2**80) == BUCKETS - 1


@pytest.mark.parametrize(
    ("ns", "index"),
    [(0, 0), (1, 1), (15, 15), (16, 16), (31, 31), (32, 32), (33, 32), (34, 33), (63, 47), (64, 48), (1_000_000, 270)],
)
def test_a_core_that_counts_natively_can_be_checked_against_these(ns, index):
    assert bucket_of(ns) == index


def test_a_bucket_is_never_wider_than_a_sixteenth_of_what_it_holds():
    for index in range(SUB_BUCKETS, BUCKETS):
        width = lower_bound(index + 1) - lower_bound(index)
        assert width * SUB_BUCKETS <= lower_bound(index)


def test_times_below_32_ns_are_counted_one_by_one():
    assert [lower_bound(index) for index in range(33)] == list(range(33))


@pytest.mark.parametrize("index", [-1, BUCKETS + 1])
def test_a_bucket_that_does_not_exist_has_no_bound(index):
    with pytest.raises(IndexError, match="from 0 to 960"):
        lower_bound(index)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", ["even", "exponential", "log", "two humps", "few"])
def test_percentiles_are_those_of_the_data_or_up_to_a_sixteenth_more(seed, shape):
    rng = random.Random(f"{seed} {shape}")
    draw = {
        "even": lambda: rng.randrange(10**9),
        "exponential": lambda: int(rng.expovariate(1e-6)),
        "log": lambda: int(math.exp(rng.uniform(0, 40))),
        "two humps": lambda: max(0, int(rng.gauss(*rng.choice([(1e4, 1e3), (1e8, 1e7)])))),
        "few": lambda: rng.choice([3, 500, 70_000]),
    }[shape]
    times = [draw() for _ in range(rng.choice([1, 2, 10, 999, 5_000]))]
    histogram = Histogram.of(times)
    for p in (0, 0.1, 1, 25, 50, 75, 90, 99, 99.9, 100):
        true = exact(times, p)
        said = round(histogram.percentile(p) * 1e9)
        assert true <= said <= true * (1 + 1 / SUB_BUCKETS) or math.isclose(said, true, rel_tol=1e-15)


def test_a_percentile_is_taken_as_it_is_written():
    """99.9 / 100 * 1000 is above 999 in floats, which would take the next rank."""
    histogram = Histogram.of([5] * 999 + [10_000])
    assert histogram.percentile(99.9) == 5e-9
    assert histogram.percentile(99.90001) > 9e-6


def test_a_mean_is_exact_with_the_sum_and_near_without():
    times = [random.Random(1).randrange(10**8) for _ in range(1000)]
    histogram = Histogram.of(times)
    mean = sum(times) / len(times) / 1e9
    assert histogram.mean == pytest.approx(mean, rel=1e-12)
    assert Histogram(histogram.counts).mean == pytest.approx(mean, rel=1 / 32)


def test_of_nothing_there_is_no_mean_and_no_percentile():
    for nothing in (Histogram(), Histogram([0] * BUCKETS, 0)):
        assert nothing.count == 0
        assert nothing.mean is None
        assert nothing.percentile(50) is None
        assert "nothing" in repr(nothing)


def test_merged_is_as_if_counted_together():
    rng = random.Random(2)
    a, b = ([rng.randrange(10 ** rng.randrange(1, 12)) for _ in range(300)] for _ in range(2))
    both = Histogram.of(a).merge(Histogram.of(b))
    assert both.counts == Histogram.of(a + b).counts
    assert both.mean == Histogram.of(a + b).mean
    assert both.count == 600


def test_histograms_of_different_length_merge():
    assert Histogram([1], 0).merge(Histogram([0, 0, 4], 8)).counts == (1, 0, 4)
    assert Histogram([0, 0, 4], 8).merge(Histogram([1])).mean == pytest.approx(8e-9 / 5)


def test_since_is_what_came_between_two_snapshots():
    early, late = Histogram.of([5, 7000]), Histogram.of([5, 7000, 9, 9])
    assert late.since(early).counts[9] == 2
    assert late.since(early).count == 2
    assert late.since(early).mean == pytest.approx(9e-9)
    with pytest.raises(ValueError, match="no earlier snapshot"):
        early.since(late)


def test_repr_says_what_matters():
    assert repr(Histogram.of([10])) == "<Histogram of 1: median 1e-08 s, 99 % 1e-08 s>"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Histogram(7), TypeError, "counts must be a sequence of whole numbers, got 7"),
        (lambda: Histogram([0] * 961), ValueError, "counts must have at most 960 numbers, got 961"),
        (lambda: Histogram([1, -1]), ValueError, "counts must be whole numbers of 0 or greater, got -1 at 1"),
        (lambda: Histogram([1.0]), ValueError, "counts must be whole numbers of 0 or greater, got 1.0 at 0"),
        (lambda: Histogram([True]), ValueError, "counts must be whole numbers"),
        (lambda: Histogram([1], -1), ValueError, "total_ns must be a whole number of 0 or greater, or None"),
        (lambda: Histogram([1]).percentile(101), ValueError, "p must be from 0 to 100, got 101"),
        (lambda: Histogram([1]).percentile(float("nan")), ValueError, "p must be from 0 to 100, got nan"),
        (lambda: Histogram([1]).percentile("99"), TypeError, "p must be a number, got '99'"),
        (lambda: Histogram().merge([1]), TypeError, "combined with another one"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
