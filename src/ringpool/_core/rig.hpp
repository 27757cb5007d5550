// What the tests of the core note: each put, take and run, from when to when.  Nothing
// where threads really run at once, which a note would put in order.
#pragma once

#include <cstdint>
#include <vector>

#include "words.hpp"

namespace ringpool {

struct Event {
    int what;                       // a Put of ring.pxd, or one of the next three
    std::uint64_t item;             // 0: none
    std::uint64_t begin, end;       // of the schedule's ticks
};
constexpr int TAKEN = 10, NOTHING_READY = 11, RAN = 12;

#if RINGPOOL_SCHEDULED
inline std::vector<Event> &history() {
    static std::vector<Event> one;
    return one;
}
inline std::uint64_t begins() noexcept { return schedule().tick(); }
inline void ends(std::uint64_t begin, int what, std::uint64_t item) noexcept {
    history().push_back({what, item, begin, schedule().tick()});
}
// A job that waits until the others of its round have begun, who are as many as there
// are workers: beside a worker that has missed its wake-up it waits for ever.
inline void meets(std::uint64_t &started, std::uint64_t workers, std::uint64_t jobs) noexcept {
    std::uint64_t round = (started++ / workers + 1) * workers;
    schedule().came(&started);
    while (started < round && started < jobs) schedule().await(&started, false);
}
#else
inline void meets(std::uint64_t &, std::uint64_t, std::uint64_t) noexcept {}
inline std::uint64_t begins() noexcept { return 0; }
inline void ends(std::uint64_t, int, std::uint64_t) noexcept {}
#endif

}  // namespace ringpool
