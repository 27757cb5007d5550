// The shelf: jobs that wait in an order of their own, and what is due later.
// A container and its rules; who may touch it when stands in shelf.pxd.
//
// Order.  A job is accepted with an arrival number.  Inside a lane the first
// job of each level competes, and the one with the smallest
//
//     arrival - level * ageing
//
// is next: a level is worth `ageing` places in the queue, so a job of a lower
// level is passed by so many later ones at the most, and none starves.
// Among lanes, those that may start a job take turns by weight (stride
// scheduling: C. Waldspurger and W. Weihl, 1995; a lane that was idle, or could
// start none, goes on where the others are, and has saved no turns).
//
// Keys.  Of the jobs of one key one at a time is in a lane, runs, or waits to
// be tried again; the others stand behind it in the order of their arrival.
//
// Lanes.  A lane may start a job when fewer than `most` of its jobs run, and
// a worker is left when those that other lanes have reserved are set aside.
#pragma once

#include <algorithm>
#include <deque>
#include <exception>
#include <iterator>
#include <limits>
#include <map>
#include <unordered_map>
#include <vector>

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
    bool keyed = false;
    bool holds_key = false;
    bool nested = false;            // it runs in place of one that waits for it, and takes no worker of its own
    bool judged = false;            // whoever takes it asks whether it may start, and may put it back
};

struct Lane {
    std::map<std::int32_t, std::map<std::uint64_t, Entry>> levels;  // by arrival
    std::uint32_t running = 0;
    std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t reserve = 0;
    double weight = 1.0;
    double pass = 0.0;              // of stride scheduling: grows by 1 / weight for each job started
    Word<std::uint64_t> ready;      // jobs in it
};

struct Timer {                      // what has become due
    Entry entry;                    // goes to its lane; or
    _object *call = nullptr;        // is called; owned
    std::uint64_t id = 0;
};

class Shelf {
    std::unordered_map<std::uint64_t, std::map<std::uint64_t, Entry>> keys;     // held keys, and who stands behind
    std::multimap<std::int64_t, Entry> later;       // jobs, by when they are due
    std::multimap<std::int64_t, Timer> calls;       // what is called then; neither call nor job: the end of a hold
    std::uint64_t last_id = 0;

    std::int64_t rank(const Entry &entry) const noexcept {
        return std::int64_t(entry.arrival) - std::int64_t(entry.level) * ageing;
    }
    void seat(const Entry &entry) {         // into its lane; may throw bad_alloc
        Lane &lane = lanes[entry.lane];
        lane.levels[entry.level].emplace(entry.arrival, entry);
        lane.ready.add(1);
    }
    using Level = std::map<std::int32_t, std::map<std::uint64_t, Entry>>::iterator;
    Entry unseat(Lane &lane, Level level, bool newest) noexcept {
        return unseat(lane, level, newest ? std::prev(level->second.end()) : level->second.begin());
    }
    Entry unseat(Lane &lane, Level level, std::map<std::uint64_t, Entry>::iterator place) noexcept {
        Entry entry = place->second;
        level->second.erase(place);
        if (level->second.empty()) lane.levels.erase(level);
        lane.ready.sub(1);
        return entry;
    }
    void begin(Lane &lane, const Entry &entry) noexcept {
        if (entry.judged) judging.add(1);
        waiting.sub(1);
        lane.pass += 1.0 / lane.weight;
        ++lane.running;
        ++running;
        look();
    }
    Level best(Lane &lane) noexcept {
        Level found = lane.levels.begin();
        for (auto level = lane.levels.begin(); level != lane.levels.end(); ++level) {
            const Entry &a = lifo ? level->second.rbegin()->second : level->second.begin()->second;
            const Entry &b = lifo ? found->second.rbegin()->second : found->second.begin()->second;
            if (lifo ? a.level > b.level : rank(a) < rank(b)) found = level;
        }
        return found;
    }
    void take_later(std::multimap<std::int64_t, Entry>::iterator place, Entry *out) noexcept {
        *out = place->second;
        (out->arrival ? retrying : delayed).sub(1);
        later.erase(place);
    }
    // Workers that other lanes have reserved and do not use.
    std::uint32_t set_aside(const Lane &lane) const noexcept {
        std::uint32_t sum = 0;
        for (const Lane &other : lanes)
            if (&other != &lane && other.reserve > other.running) sum += other.reserve - other.running;
        return sum;
    }
    bool may_start(const Lane &lane) const noexcept {
        if (lane.ready.relaxed() == 0 || lane.running >= lane.most) return false;
        std::uint32_t aside = set_aside(lane);
        return aside == 0 || running - nested + aside < workers;
    }
    Lane *next_lane() noexcept {
        Lane *found = nullptr;
        for (Lane &lane : lanes)
            if (may_start(lane) && (!found || lane.pass < found->pass)) found = &lane;
        return found;
    }

public:
    Mutex lock;
    std::deque<Lane> lanes{1};
    std::uint32_t workers = 1;              // that there may be
    std::uint32_t running = 0;              // jobs that were picked and not put down
    std::uint32_t nested = 0;               // of those, that run in place of a wait
    std::int64_t ageing = 1;
    bool lifo = false;
    std::uint64_t arrivals = 0;
    std::int64_t closed_until = 0;          // now_ns before which no job is picked: a rate limit said so

    _object *stranded = nullptr;            // from the ring, and there was no memory to seat it: the next of all

    Word<std::uint64_t> direct;             // jobs that were accepted here and not in the ring
    Word<std::uint64_t> waiting;            // in lanes and behind keys, and the stranded one
    Word<std::uint64_t> delayed;            // timers that hold a job which has not run
    Word<std::uint64_t> retrying;           // and one that has
    Word<std::uint32_t> runnable;           // would a pick succeed?

    Word<std::uint64_t> judging;            // taken, and it is being asked whether they may start

    // What takes a place.
    std::uint64_t total() noexcept { return waiting.load() + delayed.load() + retrying.load() + judging.load(); }

    // Brings `runnable` up to date; ends every change.
    void look() noexcept { runnable.store(stranded || (closed_until == 0 && next_lane() != nullptr)); }

    // Would one worker more find a job that none finds now, since lanes have set aside those that there may be?
    bool lacks_worker() noexcept {
        if (closed_until != 0 || next_lane()) return false;
        ++workers;
        bool found = next_lane() != nullptr;
        --workers;
        return found;
    }

    void strand(_object *job) noexcept {
        stranded = job;
        waiting.add(1);
        look();
    }
    _object *take_stranded() noexcept {
        _object *job = stranded;
        if (!job) return nullptr;
        stranded = nullptr;
        waiting.sub(1);
        look();
        return job;
    }

    // False: no memory, and nothing happened.
    bool add(Entry entry) noexcept {
        try {
            if (entry.keyed && !entry.holds_key) {
                auto found = keys.find(entry.key);
                if (found != keys.end()) {
                    found->second.emplace(entry.arrival, entry);
                    waiting.add(1);
                    return true;
                }
                keys[entry.key];
                entry.holds_key = true;
                try { seat(entry); } catch (...) { keys.erase(entry.key); return false; }
            } else {
                seat(entry);
            }
        } catch (...) { return false; }
        waiting.add(1);
        look();
        return true;
    }

    bool pick(Entry *out) noexcept {
        if (closed_until != 0) return false;
        Lane *lane = next_lane();
        if (!lane) return false;
        *out = unseat(*lane, best(*lane), lifo);
        double turn = lane->pass;       // a lane with a smaller one was idle or could start nothing
        for (Lane &other : lanes)
            if (other.pass < turn) other.pass = turn;
        begin(*lane, *out);
        return true;
    }

    // A certain job that is in its lane, to be run in place of a job that waits for it; false: it may not start now.
    bool pick_nested(const Entry &wish, _object *job, Entry *out) noexcept {
        Lane &lane = lanes[wish.lane];
        if (closed_until != 0 || lane.running >= lane.most) return false;
        for (auto level = lane.levels.begin(); level != lane.levels.end(); ++level) {
            auto place = level->second.find(wish.arrival);
            if (place == level->second.end() || place->second.job != job) continue;
            *out = unseat(lane, level, place);
            out->nested = true;
            ++nested;
            begin(lane, *out);
            return true;
        }
        return false;
    }

    // What was picked has stopped running; with its key, unless it will come again.
    void put_down(const Entry &entry, bool comes_again) noexcept {
        --lanes[entry.lane].running;
        --running;
        nested -= entry.nested;
        if (!comes_again) free_key(entry);
        look();
    }

    // What was picked and not started, to its place, as if it had never been picked.  False: no memory.
    bool put_back(const Entry &entry) noexcept {
        Lane &lane = lanes[entry.lane];
        lane.pass -= 1.0 / lane.weight;
        put_down(entry, true);
        Entry again = entry;
        again.nested = false;
        if (!add(again)) return false;
        if (entry.judged) judging.sub(1);
        return true;
    }

    void free_key(const Entry &entry) noexcept {
        if (!entry.holds_key) return;
        auto found = keys.find(entry.key);
        if (found->second.empty()) { keys.erase(found); return; }
        auto node = found->second.extract(found->second.begin());
        Entry next = node.mapped();
        next.holds_key = true;
        Lane &lane = lanes[next.lane];
        // The node that held it behind its key now holds it in the lane.  A level
        // of its own is the one allocation; without memory it takes any level's.
        auto level = lane.levels.end();
        try { level = lane.levels.try_emplace(next.level).first; } catch (...) { level = lane.levels.begin(); }
        if (level == lane.levels.end()) std::terminate();
        node.mapped() = next;
        level->second.insert(std::move(node));
        lane.ready.add(1);
    }

    // Of the lowest level of this lane the one that waits longest; not running, so it is put down at once.
    bool pick_oldest(std::uint32_t number, Entry *out) noexcept {
        Lane &lane = lanes[number];
        if (lane.levels.empty()) return false;
        *out = unseat(lane, lane.levels.begin(), false);
        waiting.sub(1);
        free_key(*out);
        look();
        return true;
    }

    // Any job at all, behind a key or in a timer too, to be resolved and not run.
    bool pick_any(Entry *out) noexcept {
        for (std::uint32_t number = 0; number < lanes.size(); ++number)
            if (pick_oldest(number, out)) return true;
        return pick_later(out) || pick_behind(out);
    }
    // Only jobs behind keys whose holders run are left then: few lines to look through.
    bool pick_behind(Entry *out) noexcept {
        for (auto &line : keys)
            if (!line.second.empty()) {
                auto place = line.second.begin();
                *out = place->second;
                line.second.erase(place);
                waiting.sub(1);
                return true;
            }
        return false;
    }
    bool pick_later(Entry *out) noexcept {
        if (later.empty()) return false;
        take_later(later.begin(), out);
        free_key(*out);
        look();
        return true;
    }

    // Takes out all that is to be cleared away, and appends it to `out`; what finds no room there stays.
    template <class Dead> void sweep(Dead dead, std::vector<_object *> *out) noexcept {
        auto takes = [&](const Entry &entry) {
            if (!dead(entry.job)) return false;
            try { out->push_back(entry.job); } catch (...) { return false; }
            waiting.sub(1);
            return true;
        };
        for (auto &line : keys)
            for (auto place = line.second.begin(); place != line.second.end();)
                place = takes(place->second) ? line.second.erase(place) : std::next(place);
        for (Lane &lane : lanes)
            for (auto level = lane.levels.begin(); level != lane.levels.end();) {
                for (auto place = level->second.begin(); place != level->second.end();) {
                    if (!takes(place->second)) { ++place; continue; }
                    Entry entry = place->second;
                    place = level->second.erase(place);
                    lane.ready.sub(1);
                    free_key(entry);
                }
                level = level->second.empty() ? lane.levels.erase(level) : std::next(level);
            }
        look();
    }

    // Changes the level of a job that waits; false: it does not.
    bool rerank(_object *job, std::int32_t level) noexcept {
        try {
            for (Lane &lane : lanes)
                for (auto &old : lane.levels)
                    for (auto &place : old.second)
                        if (place.second.job == job) {
                            if (old.first == level) return true;
                            auto &fresh = lane.levels[level];
                            auto node = old.second.extract(place.first);
                            node.mapped().level = level;
                            fresh.insert(std::move(node));
                            if (old.second.empty()) lane.levels.erase(old.first);
                            look();
                            return true;
                        }
            for (auto &line : keys)
                for (auto &place : line.second)
                    if (place.second.job == job) { place.second.level = level; return true; }
            for (auto &place : later)
                if (place.second.job == job) { place.second.level = level; return true; }
        } catch (...) { }
        return false;
    }

    // How many wait at each level, of all lanes and keys, and since when the one that waits longest does (0: none).
    // False: no memory.
    bool count_levels(std::map<std::int32_t, std::uint64_t> *levels, std::int64_t *oldest) const noexcept {
        *oldest = 0;
        try {
            for (const Lane &lane : lanes)
                for (auto &level : lane.levels) {
                    (*levels)[level.first] += level.second.size();
                    std::int64_t since = level.second.begin()->second.since;
                    if (*oldest == 0 || since < *oldest) *oldest = since;
                }
            for (auto &line : keys)
                for (auto &place : line.second) {
                    ++(*levels)[place.second.level];
                    if (*oldest == 0 || place.second.since < *oldest) *oldest = place.second.since;
                }
        } catch (...) { return false; }
        return true;
    }

    // All that wait, behind a key and for a time too; what finds no room in `out` is left out.
    void list(std::vector<_object *> *out) const noexcept {
        try {
            if (stranded) out->push_back(stranded);
            for (const Lane &lane : lanes)
                for (auto &level : lane.levels)
                    for (auto &place : level.second) out->push_back(place.second.job);
            for (auto &line : keys)
                for (auto &place : line.second) out->push_back(place.second.job);
            for (auto &place : later) out->push_back(place.second.job);
        } catch (...) { }
    }

    // ---- what is due later -------------------------------------------------

    // Its id; 0: no memory.  `soonest` says whether the timekeeper must look anew.
    std::uint64_t set_timer(std::int64_t due, const Entry &entry, _object *call, bool *soonest) noexcept {
        std::int64_t next = next_due();
        try {
            if (entry.job) later.emplace(due, entry);
            else calls.emplace(due, Timer{entry, call, last_id + 1});
        } catch (...) { return 0; }
        *soonest = next < 0 || due < next;
        if (entry.job) (entry.arrival ? retrying : delayed).add(1);
        return ++last_id;
    }
    // The call that was set, whose reference the caller gets; NULL: it is on its way already.
    _object *drop_timer(std::int64_t due, std::uint64_t id) noexcept {
        auto range = calls.equal_range(due);
        for (auto timer = range.first; timer != range.second; ++timer)
            if (timer->second.id == id) {
                _object *call = timer->second.call;
                calls.erase(timer);
                return call;
            }
        return nullptr;
    }
    // Makes a job that is due then due now.
    bool hasten(_object *job, std::int64_t due, Entry *out) noexcept {
        auto range = later.equal_range(due);
        for (auto place = range.first; place != range.second; ++place)
            if (place->second.job == job) { take_later(place, out); return true; }
        return false;
    }
    std::int64_t next_due() const noexcept {
        if (later.empty()) return calls.empty() ? -1 : calls.begin()->first;
        return calls.empty() ? later.begin()->first : std::min(later.begin()->first, calls.begin()->first);
    }
    bool take_due(std::int64_t now, Timer *out) noexcept {
        std::int64_t next = next_due();
        if (next < 0 || next > now) return false;
        *out = Timer();
        if (!later.empty() && later.begin()->first == next) {
            take_later(later.begin(), &out->entry);
        } else {
            *out = calls.begin()->second;
            calls.erase(calls.begin());
        }
        return true;
    }
    template <class Visit> void each_call(Visit visit) const {
        for (auto &timer : calls)
            if (timer.second.call) visit(timer.second.call);
    }
};

}  // namespace ringpool
