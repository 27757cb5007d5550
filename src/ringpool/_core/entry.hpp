// What the shelf holds: jobs, and their lanes.
//
// Keys.  Of the jobs of one key one at a time is in a lane, runs, or waits to
// be tried again; the others stand behind it in the order of their arrival.
//
// Lanes.  A lane may start a job when fewer than `most` of its jobs run, and
// a worker is left when those that other lanes have reserved are set aside.
#pragma once

#include <cstdint>
#include <limits>
#include <map>

#include "words.hpp"

struct _object;

namespace ringpool {

struct Entry {
    _object *job = nullptr;         // the shelf owns a reference
    std::uint64_t arrival = 0;      // 0: not accepted yet
    std::int64_t since = 0;         // when it was (now_ns), or came back from a delay
    std::int64_t due = 0;           // now_ns before which it is not started; 0: at once
    std::uint64_t key = 0;
    std::int32_t level = 0;
    std::uint32_t lane = 0;
    std::int32_t prefers = -1;      // number of the worker that it would like
    Entry *noted = nullptr;         // where arrival and due time are noted, for who looks for the job; NULL: plain
    bool keyed = false;
    bool holds_key = false;
    bool nested = false;            // it runs in place of one that waits for it, and takes no worker of its own
    bool judged = false;            // whoever takes it asks whether it may start, and may put it back
};

using Line = std::map<std::uint64_t, Entry>;        // by arrival
using Levels = std::map<std::int32_t, Line>;

struct Lane {
    Levels levels;                  // those of which a job waits
    Levels::node_type spare;        // for the next one; there whenever no level is: so a lane can always take a job
    std::uint32_t running = 0;
    std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t reserve = 0;
    double weight = 1.0;
    double pass = 0.0;              // of stride scheduling: grows by 1 / weight for each job started
    Word<std::uint64_t> ready;      // jobs in it
    Lane() {
        levels[0];
        spare = levels.extract(levels.begin());
    }
};

constexpr std::int64_t SOON_NS = 10'000'000;        // when there is no memory to go on: try again after this
constexpr std::int64_t LATEST = std::int64_t(1) << 62;      // when everything is due

}  // namespace ringpool
