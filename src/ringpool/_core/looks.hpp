// When was a position of a ring put, although no job notes that?  Whoever looks
// at the ring notes how far it has come.  A position was put between the two
// looks that it lies between, so what it is known to within is the time between
// them, at the cost of nothing to a put.
#pragma once

#include <algorithm>

#include "words.hpp"

namespace ringpool {

class Looks {
    struct Look {
        std::uint64_t tail;             // whoever was there or behind was put after
        std::int64_t when;              // this, on now_ns
    };
    static constexpr unsigned MOST = 64;
    Look looks[MOST] = {{0, now_ns()}}; // in order; the first one is not after the ring's head
    unsigned count = 1;
public:
    Mutex lock;

    // Under the lock; `now` was read before `tail`.  Before that time nothing was put that stands at `head` or behind.
    std::int64_t look(std::uint64_t head, std::uint64_t tail, std::int64_t now) noexcept {
        unsigned passed = 0;
        while (passed + 1 < count && looks[passed + 1].tail <= head) ++passed;
        std::move(looks + passed, looks + count, looks);
        count -= passed;
        if (looks[count - 1].tail == tail) {
            looks[count - 1].when = now;
            return looks[0].when;
        }
        if (count == MOST) {            // every other one: within a 32nd of the time from the first to the last
            for (unsigned i = 0; i < MOST / 2; ++i) looks[i] = looks[2 * i];
            count = MOST / 2;
        }
        looks[count++] = {tail, now};
        return looks[0].when;
    }
};

}  // namespace ringpool
