// What the tests of the core note, and what their jobs are: the word of a Future and
// what it guards.  Each put, take, run and end is noted, from when to when; nothing where
// threads really run at once, which a note would put in order.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "layout.hpp"

namespace ringpool {

// ---- jobs ----------------------------------------------------------------

constexpr std::uint64_t PRODUCERS = 64, MEDDLERS = 8;     // at the most

// In place of a FutureBase.  What is no Word has one writer at a time, if the protocol is
// right, and is no Word for that reason: a sanitizer sees where it is not.
struct Job {
    Word<std::uint32_t> word;
    std::uint64_t outcome = 0;          // 0: none
    Extension extension;
    Unrun *unrun = nullptr;
    Mutex condition;                    // in place of the extension's
    std::vector<Waiter *> waiters;      // under it
    Word<std::uint32_t> known;          // see below
    std::uint64_t again = 0;            // attempts after which it asks for another
    std::int64_t delay = 0;             // before each of them, ns
    std::uint64_t holds = 0;            // how often nothing may start for a while when it is taken
    bool sleeps = false;                // each attempt does, until it is asked to end
    bool planned = false;
    // what was done to it
    std::uint64_t starts = 0, put_backs = 0, held = 0;
    std::uint64_t ends = 0, ended_with = 0, ended_from = 0;
    bool added[MEDDLERS] = {};          // callbacks
    std::uint64_t called[MEDDLERS] = {};
};
inline Job *jobs_new(std::uint64_t n) { return new Job[n]; }
inline void jobs_free(Job *jobs) noexcept { delete[] jobs; }
constexpr std::uint32_t ACCEPTED = 1, TURNED_AWAY = 2;    // of `known`; 0: not put yet

// What somebody who asked for a result got.
struct Seen {
    std::uint64_t item;
    std::uint32_t state;
    std::uint64_t outcome;
};
inline void saw(std::vector<Seen> *list, std::uint64_t item, std::uint32_t state, std::uint64_t outcome) noexcept {
    list->push_back({item, state, outcome});
}

#if RINGPOOL_SCHEDULED
inline void somebody_came(const void *where) noexcept { schedule().came(where); }
inline void await_somebody(const void *where) noexcept { schedule().await(where, false); }
#else
inline void somebody_came(const void *) noexcept {}
inline void await_somebody(const void *) noexcept { relax(); }
#endif

// Outcomes, which are no Words, with a point where another thread may go on.
inline void write(std::uint64_t *place, std::uint64_t outcome) noexcept { point(); *place = outcome; }
inline std::uint64_t read(const std::uint64_t *place) noexcept { point(); return *place; }

// A number below `below`, the same for the same seed and purpose.
inline std::uint64_t drawn(std::uint64_t seed, std::uint64_t what, std::uint64_t below) noexcept {
    std::uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15u + what * 0xd1342543de82ef95u;    // splitmix64, S. Vigna
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

// Workers that are hired, and threads that become one, until nobody is left that may hire.
class Vacancies {
    static constexpr std::uint32_t HIRER = std::uint32_t(1) << 16;
    Word<std::uint32_t> word;           // how many may hire, and below how many are hired and have not begun
    Word<std::uint64_t> offers;
    const std::uint64_t seed;
    const bool fails;                   // now and then no thread can be started
    const std::uint32_t taker;          // what whoever takes one adds: HIRER, if it may hire in turn
public:
    Vacancies(std::uint64_t seed, bool fails, std::uint32_t hirers, bool takers_hire)
        : seed(seed), fails(fails), taker(takers_hire ? HIRER : 0) { word.set(hirers * HIRER); }
    bool starts() noexcept { return !fails || drawn(seed, (std::uint64_t(1) << 34) + offers.add(1), 4) != 0; }
    void offer() noexcept {             // of a thread that starts
        word.add(1);
        somebody_came(&word);
    }
    void hires_no_more() noexcept {
        word.sub(HIRER);
        somebody_came(&word);
    }
    bool take() noexcept {
        while (true) {
            std::uint32_t now = word.load();
            if (now == 0) return false;
            if (now % HIRER == 0) await_somebody(&word);
            else if (word.cas(now, now - 1 + taker)) return true;
        }
    }
};

// For whom spares are hired: each worker's word that says that it has one, or nobody's.
class Reliefs {
    Mutex lock;
    std::vector<Word<std::uint32_t> *> wanted;
    std::deque<Word<std::uint32_t>> words;
public:
    explicit Reliefs(std::uint64_t workers) : words(workers) {}
    Word<std::uint32_t> *of(std::int32_t worker) noexcept { return &words[worker]; }
    void put(Word<std::uint32_t> *has_spare) {
        lock.lock();
        if (has_spare == nullptr) {
            words.emplace_back();
            has_spare = &words.back();
            has_spare->store(1);
        }
        wanted.push_back(has_spare);
        lock.unlock();
    }
    Word<std::uint32_t> *take() noexcept {
        lock.lock();
        Word<std::uint32_t> *has_spare = wanted.back();
        wanted.pop_back();
        lock.unlock();
        return has_spare;
    }
};

// ---- what is noted -----------------------------------------------------------

struct Event {
    int what;                           // a Put of ring.pxd, or one of the next
    std::uint64_t item;                 // 0: none
    std::uint64_t begin, end;           // of the schedule's ticks
};
constexpr int TAKEN = 10, NOTHING_READY = 11, RAN = 12;
constexpr int STARTED = 13, ENDED = 14, ASKED_TO_END = 15;      // the word's: an attempt, the end, a request
constexpr int SHELF_TAKEN = 16;         // the same as a TAKEN beside it, from the shelf by its own hand
constexpr int STOP_ASKED = 17, SHELF_SHUT = 18, QUIET = 19;       // QUIET: wait() has returned
constexpr int LEFT = 20, CLEARED = 21;  // who has ended it has taken it from the shelf; has looked whether it is there

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
inline void lasts() noexcept {}
inline void make_known(Job *job, std::uint32_t how) noexcept {
    job->known.store(how);
    schedule().came(&job->known);
}
inline std::uint32_t until_known(Job *job) noexcept {
    while (job->known.load() == 0) schedule().await(&job->known, false);
    return job->known.load();
}
#else
inline std::uint64_t begins() noexcept { return 0; }
inline void ends(std::uint64_t, int, std::uint64_t) noexcept {}
inline void meets(std::uint64_t &, std::uint64_t, std::uint64_t) noexcept {}
inline void lasts() noexcept { relax(); }       // an attempt, long enough for others to come in between
inline void make_known(Job *job, std::uint32_t how) noexcept { job->known.store(how); }
inline std::uint32_t until_known(Job *job) noexcept {
    while (job->known.load() == 0) relax();
    return job->known.load();
}
#endif

}  // namespace ringpool
