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
// Memory.  A job that was accepted needs none any more, however often it comes and
// goes: the node of a map that it was accepted with goes with it, from the lane to
// those of the taken, and from there to a timer, or to the lane again.
#pragma once

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "entry.hpp"
#include "words.hpp"

namespace ringpool {

class Shelf {
    using Later = std::multimap<std::uint64_t, Entry>;      // its nodes are those of a Line, too

    std::unordered_map<std::uint64_t, Line> keys;   // held keys, and who stands behind
    Later later, taken;             // jobs by when they are due; the nodes of those taken, for when they come back
    std::uint64_t plain = 0;        // jobs in lanes that have noted nothing: who ends one cannot take it out

    std::int64_t rank(const Entry &entry) const noexcept {
        return std::int64_t(entry.arrival) - std::int64_t(entry.level) * ageing;
    }
    // Without memory for a level of its own, any will do.
    Line &level_of(Lane &lane, std::int32_t level) noexcept {
        auto found = lane.levels.find(level);
        if (found == lane.levels.end() && lane.spare) {
            lane.spare.key() = level;
            found = lane.levels.insert(std::move(lane.spare)).position;
        }
        if (found == lane.levels.end()) {
            try { found = lane.levels.try_emplace(level).first; } catch (...) { found = lane.levels.begin(); }
        }
        return found->second;
    }
    Levels::iterator drop_if_empty(Lane &lane, Levels::iterator level) noexcept {
        if (!level->second.empty()) return std::next(level);
        if (lane.spare) return lane.levels.erase(level);
        auto next = std::next(level);
        lane.spare = lane.levels.extract(level);
        return next;
    }
    static Line::node_type node_of(const Entry &entry) {    // may throw bad_alloc
        Line line;
        return line.extract(line.emplace(entry.arrival, entry).first);
    }
    // Into its lane.
    void seat(Line::node_type node) noexcept {
        Lane &lane = lanes[node.mapped().lane];
        node.key() = node.mapped().arrival;
        plain += !node.mapped().noted;
        level_of(lane, node.mapped().level).insert(std::move(node));
        lane.ready.add(1);
    }
    Line::node_type unseat(Lane &lane, Levels::iterator level, Line::iterator place) noexcept {
        auto node = level->second.extract(place);
        drop_if_empty(lane, level);
        plain -= !node.mapped().noted;
        lane.ready.sub(1);
        return node;
    }
    // A certain job; empty: it is not there.  If there was no memory for its key, another has the arrival it has noted.
    Line::node_type unseat(const Entry &wish, _object *job) noexcept {
        Lane &lane = lanes[wish.lane];
        for (auto level = lane.levels.begin(); level != lane.levels.end(); ++level) {
            auto place = level->second.find(wish.arrival);
            if (place != level->second.end() && place->second.job == job) return unseat(lane, level, place);
        }
        return {};
    }
    // From behind its key, likewise.
    Line::node_type step_out(const Entry &wish, _object *job) noexcept {
        auto line = wish.keyed ? keys.find(wish.key) : keys.end();
        if (line == keys.end()) return {};
        auto place = line->second.find(wish.arrival);
        if (place == line->second.end() || place->second.job != job) return {};
        return line->second.extract(place);
    }
    // Of a job that is taken no more.
    Line::node_type node_back(const Entry &entry) noexcept {
        auto node = taken.extract(taken.begin());
        node.mapped() = entry;
        return node;
    }
    void begin(Lane &lane, Line::node_type node, Entry *out) noexcept {
        *out = node.mapped();
        node.key() = 0;
        taken.insert(taken.begin(), std::move(node));
        if (out->judged) judging.add(1);
        waiting.sub(1);
        lane.pass += 1.0 / lane.weight;
        ++lane.running;
        ++running;
        look();
    }
    Levels::iterator best(Lane &lane) noexcept {
        auto found = lane.levels.begin();
        for (auto level = lane.levels.begin(); level != lane.levels.end(); ++level) {
            const Entry &a = lifo ? level->second.rbegin()->second : level->second.begin()->second;
            const Entry &b = lifo ? found->second.rbegin()->second : found->second.begin()->second;
            if (lifo ? a.level > b.level : rank(a) < rank(b)) found = level;
        }
        return found;
    }
    // With its key, or behind it.  False: no memory for a key that nobody has, and nothing happened.
    bool add(Line::node_type &node) noexcept {
        Entry &entry = node.mapped();
        if (entry.noted) entry.noted->arrival = entry.arrival;
        if (entry.keyed && !entry.holds_key) {
            try {
                auto [line, fresh] = keys.try_emplace(entry.key);
                if (!fresh) {
                    node.key() = entry.arrival;
                    line->second.insert(std::move(node));
                    waiting.add(1);
                    return true;
                }
            } catch (...) { return false; }
            entry.holds_key = true;
        }
        seat(std::move(node));
        waiting.add(1);
        look();
        return true;
    }
    Word<std::uint64_t> &waits_as(const Entry &entry) noexcept { return entry.arrival ? retrying : delayed; }
    bool set_timer(Line::node_type node, std::int64_t due) noexcept {
        std::int64_t next = next_due();
        waits_as(node.mapped()).add(1);
        if (node.mapped().noted) node.mapped().noted->due = due;
        node.key() = std::uint64_t(due);
        later.insert(std::move(node));
        return next < 0 || due < next;
    }
    // Of a job that was due later, or has been attempted: behind those that are there.  False: it is due again soon,
    // since there was no memory for its key.
    bool arrive(Line::node_type node, bool *soonest) noexcept {
        Entry &entry = node.mapped();
        std::uint64_t before = std::exchange(entry.arrival, arrivals + 1);
        entry.since = now_ns();
        if (!add(node)) {
            entry.arrival = before;
            *soonest = set_timer(std::move(node), entry.since + SOON_NS);
            return false;
        }
        ++arrivals;
        return true;
    }
    Line::node_type take_later(Later::iterator place) noexcept {
        waits_as(place->second).sub(1);
        return later.extract(place);
    }
    Line::node_type take_later(const Entry &wish, _object *job) noexcept {
        auto range = later.equal_range(std::uint64_t(wish.due));
        for (auto place = range.first; place != range.second; ++place)
            if (place->second.job == job) return take_later(place);
        return {};
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
    std::int64_t held_until = 0;            // now_ns before which no job is picked: a rate limit said so; 0: none did
    bool shut = false;                      // nothing is picked any more
    Calls calls;

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
    void look() noexcept { runnable.store(stranded || (!shut && held_until == 0 && next_lane() != nullptr)); }

    // Would workers more find a job that none finds now, since lanes have set aside those that there may be?
    // So many; 0: they would not.
    std::uint32_t lacks_workers() const noexcept {
        if (shut || held_until != 0) return 0;
        std::uint32_t fewest = 0;
        for (const Lane &lane : lanes) {
            if (may_start(lane)) return 0;
            if (lane.ready.relaxed() == 0 || lane.running >= lane.most) continue;
            std::uint32_t lacks = running - nested + set_aside(lane) + 1 - workers;
            if (!fewest || lacks < fewest) fewest = lacks;
        }
        return fewest;
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
    bool add(const Entry &entry) noexcept {
        try {
            auto node = node_of(entry);
            return add(node);
        } catch (...) { return false; }
    }

    bool pick(Entry *out) noexcept {
        Lane *lane = shut || held_until != 0 ? nullptr : next_lane();
        if (!lane) return false;
        auto level = best(*lane);
        auto node = unseat(*lane, level, lifo ? std::prev(level->second.end()) : level->second.begin());
        double turn = lane->pass;       // a lane with a smaller one was idle or could start nothing
        for (Lane &other : lanes)
            if (other.pass < turn) other.pass = turn;
        begin(*lane, std::move(node), out);
        return true;
    }

    // A certain job that is in its lane, to be run in place of a job that waits for it; false: it may not start now.
    bool pick_nested(const Entry &wish, _object *job, Entry *out) noexcept {
        Lane &lane = lanes[wish.lane];
        if (shut || held_until != 0 || lane.running >= lane.most) return false;
        auto node = unseat(wish, job);
        if (!node) return false;
        ++nested;
        begin(lane, std::move(node), out);
        out->nested = true;
        return true;
    }

    // What was picked has stopped running; with its key, unless it comes again, for which it keeps its node.
    void put_down(const Entry &entry, bool comes_again) noexcept {
        --lanes[entry.lane].running;
        --running;
        nested -= entry.nested;
        if (!comes_again) leave(entry);
        look();
    }
    void leave(const Entry &entry) noexcept {
        taken.erase(taken.begin());
        free_key(entry);
        look();
    }
    // Of what was put down: now, if it is not due later.  True: the timekeeper must look anew.
    bool come_again(const Entry &entry, bool now) noexcept {
        if (!now) return set_timer(node_back(entry), entry.due);
        bool soonest = false;
        arrive(node_back(entry), &soonest);
        return soonest;
    }

    // For a job that comes again though it was never picked.  False: no memory.
    bool make_node() noexcept {
        try { taken.emplace(0, Entry()); return true; } catch (...) { return false; }
    }

    // What was picked and not started, to its place, as if it had never been picked.
    void put_back(const Entry &entry) noexcept {
        lanes[entry.lane].pass -= 1.0 / lanes[entry.lane].weight;
        put_down(entry, true);
        auto node = node_back(entry);
        node.mapped().nested = false;
        add(node);                      // its key, if it has one, is its own
        if (entry.judged) judging.sub(1);
    }

    void free_key(const Entry &entry) noexcept {
        if (!entry.holds_key) return;
        auto found = keys.find(entry.key);
        if (found->second.empty()) { keys.erase(found); return; }
        auto node = found->second.extract(found->second.begin());
        node.mapped().holds_key = true;
        seat(std::move(node));
    }

    // Of the lowest level of this lane the one that waits longest; not running, so it is put down at once.
    bool pick_oldest(std::uint32_t number, Entry *out) noexcept {
        Lane &lane = lanes[number];
        if (lane.levels.empty()) return false;
        *out = unseat(lane, lane.levels.begin(), lane.levels.begin()->second.begin()).mapped();
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
        *out = take_later(later.begin()).mapped();
        free_key(*out);
        look();
        return true;
    }

    // A certain job that waits, wherever it does, with its key; false: it does not.
    bool take_out(const Entry &wish, _object *job) noexcept {
        auto node = take_later(wish, job);
        if (!node) {
            node = unseat(wish, job);
            if (!node) node = step_out(wish, job);
            if (!node) return false;
            waiting.sub(1);
        }
        free_key(node.mapped());
        look();
        return true;
    }

    // Takes out all plain jobs that are to be cleared away, and appends them to `out`; what finds no room there stays.
    // They are in the first lane, and have no keys.
    template <class Dead> void sweep(Dead dead, std::vector<_object *> *out) noexcept {
        Lane &lane = lanes[0];
        if (plain == 0) return;
        for (auto level = lane.levels.begin(); level != lane.levels.end();) {
            for (auto place = level->second.begin(); place != level->second.end();) {
                const Entry &entry = place->second;
                if (entry.noted || !dead(entry.job)) { ++place; continue; }
                try { out->push_back(entry.job); } catch (...) { ++place; continue; }
                place = level->second.erase(place);
                --plain;
                lane.ready.sub(1);
                waiting.sub(1);
            }
            level = drop_if_empty(lane, level);
        }
        look();
    }

    // Changes the level of a job that waits; false: it does not.
    bool rerank(_object *job, std::int32_t level) noexcept {
        for (Lane &lane : lanes)
            for (auto old = lane.levels.begin(); old != lane.levels.end(); ++old)
                for (auto &place : old->second)
                    if (place.second.job == job) {
                        if (old->first == level) return true;
                        auto node = old->second.extract(place.first);
                        node.mapped().level = level;
                        drop_if_empty(lane, old);
                        level_of(lane, level).insert(std::move(node));
                        look();
                        return true;
                    }
        for (auto &line : keys)
            for (auto &place : line.second)
                if (place.second.job == job) { place.second.level = level; return true; }
        for (auto &place : later)
            if (place.second.job == job) { place.second.level = level; return true; }
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

    // `soonest`: the timekeeper must look anew.  False: no memory.
    bool delay(const Entry &entry, bool *soonest) noexcept {
        try { *soonest = set_timer(node_of(entry), entry.due); return true; } catch (...) { return false; }
    }
    // True: the timekeeper must look anew.
    bool hold(std::int64_t until) noexcept {
        std::int64_t next = next_due();
        held_until = until;
        look();
        return next < 0 || until < next;
    }
    // Everything but the calls; how many jobs may have become ready.
    std::uint32_t make_due(std::int64_t now) noexcept {
        std::uint32_t moved = 0;
        bool soonest;                   // who calls this looks anew anyway
        while (!later.empty() && std::int64_t(later.begin()->first) <= now)
            moved += arrive(take_later(later.begin()), &soonest);
        if (held_until != 0 && held_until <= now) {
            held_until = 0;
            look();
            ++moved;
        }
        return moved;
    }

    // False: no memory, and the caller keeps the function.
    bool set_call(std::int64_t due, const Call &call, bool *soonest) noexcept {
        std::int64_t next = next_due();
        *soonest = next < 0 || due < next;
        return calls.set(due, call);
    }

    std::int64_t next_due() const noexcept {        // of anything; negative: nothing is
        std::int64_t next = held_until != 0 ? held_until : -1;
        if (!later.empty() && (next < 0 || std::int64_t(later.begin()->first) < next)) next = later.begin()->first;
        std::int64_t call = calls.next_due();
        return call >= 0 && (next < 0 || call < next) ? call : next;
    }
};

}  // namespace ringpool
