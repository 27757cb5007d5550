// What Cython cannot say about the shared structs: cache-line layout and
// containers.  No algorithm, no Python.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <mutex>
#include <new>
#include <vector>
#if defined(_MSC_VER)
#include <intrin.h>
#endif

#include "looks.hpp"
#include "parker.hpp"
#include "shelf.hpp"
#include "words.hpp"

namespace ringpool {

inline unsigned log2_of(std::uint64_t n) noexcept {
#if defined(_MSC_VER)
    unsigned long bit;
    _BitScanReverse64(&bit, n);
    return bit;
#else
    return 63 ^ __builtin_clzll(n);     // 63 minus it, in one instruction
#endif
}

// ---- ring.pxd ------------------------------------------------------------

constexpr std::uint64_t CLOSED_BIT = std::uint64_t(1) << 63;

struct Slot {
    Word<std::uint64_t> turn;       // whose turn the slot is: 2 * lap, or 2 * lap + 1 when full
    void *item = nullptr;           // owned by the queue while the slot is full
};

struct Ring {
    // producers
    alignas(LINE) Word<std::uint64_t> tail;     // next position to put; bit 63: closed
    Word<std::uint64_t> head_seen;              // a head some producer saw; never ahead of head
    // consumers
    alignas(LINE) Word<std::uint64_t> head;     // next position to take
    // everybody reads, nobody writes
    alignas(LINE) Slot *slots = nullptr;
    std::uint64_t mask = 0;
    unsigned shift = 0;                         // lap = position >> shift
    std::uint64_t limit = 0;                    // jobs the ring takes
    bool bounded = false;                       // false: what does not fit goes to the overflow
    // overflow, in order behind the ring
    alignas(LINE) Mutex lock;
    Word<std::uint64_t> overflowing;            // jobs in it; moved under lock
    std::deque<void *> overflow;
};

inline bool overflow_put(Ring *ring, void *item) noexcept {
    try { ring->overflow.push_back(item); return true; }
    catch (...) { return false; }
}

// Zeroed pages are a valid empty ring (turn 0 = free for lap 0), so a large
// ring costs memory only where jobs have been.
inline Slot *slots_alloc(std::size_t n) noexcept { return static_cast<Slot *>(std::calloc(n, sizeof(Slot))); }
inline void slots_free(Slot *slots) noexcept { std::free(slots); }

// ---- parking.pxd ---------------------------------------------------------

constexpr std::int64_t FOREVER = -1;    // as a deadline: none
constexpr std::int64_t PATIENT = -2;    // as a deadline for room: none, whatever the overflow policy
constexpr std::int64_t NOW = 0;         // as a deadline: has passed, look once

// A user's thread in a queue of sleepers; lives on that thread's stack.
struct Waiter {
    Parker parker;
    Waiter *next = nullptr;
    bool listed = false;            // under the gate's lock
    std::uint64_t ticket = 0;       // of who waits for room: its place
};

// Threads that wait for one kind of event, first come first woken.
struct Gate {
    Mutex lock;
    Waiter *first = nullptr, *last = nullptr;
    Word<std::uint32_t> count;      // listed waiters; moved under lock, read without
    std::uint64_t tickets = 0;      // of who waits for room (room.pxd): given so far
    std::uint32_t woken = 0;        // and how many are on the way, to look
};

// In a forked child: whoever was in there is not here.
inline void gate_begin_anew(Gate *gate) noexcept { new (gate) Gate; }

// How often each length of time occurred: 16 buckets for each power of two, see histogram.py.
// One thread counts, any reads.
struct Times {
    static constexpr int BUCKETS = 960;
    Word<std::uint64_t> counts[BUCKETS];
    Word<std::uint64_t> total_ns;
    void note(std::int64_t ns) noexcept {
        std::uint64_t time = ns < 0 ? 0 : std::uint64_t(ns);
        unsigned shift = log2_of(time | 16) - 4;
        Word<std::uint64_t> &count = counts[(shift << 4) + unsigned(time >> shift)];
        count.release(count.relaxed() + 1);
        total_ns.release(total_ns.relaxed() + time);
    }
    void add(const Times &other) noexcept {
        for (int i = 0; i < BUCKETS; ++i) counts[i].set(counts[i].relaxed() + other.counts[i].relaxed());
        total_ns.set(total_ns.relaxed() + other.total_ns.relaxed());
    }
};

using Objects = std::vector<struct _object *>;

// A job from the shelf that a worker runs, or one inside of which it runs others; on its stack.
struct Held {
    const Entry *place = nullptr;
    Held *outer = nullptr;
};

// A job that stands still on a thread while that one waits, or runs another in its place; on the thread's stack.
struct Standing {
    struct _object *job = nullptr;
    const Standing *outer = nullptr;
};

// On the stack of whoever has taken a job to end it without a run: in a forked child it is lost with his thread.
struct Resolving {
    struct _object *job = nullptr;
    Resolving *next = nullptr;
};

struct alignas(LINE) Worker {
    Parker parker;
    Patience patience;
    bool answered = false;          // somebody waited for the last job it ran, and may soon submit the next
    Worker *next_idle = nullptr;    // under Idlers::lock; while its inbox has a job and it no token, the giver's
    bool idle = false;              // on the idle list; under Idlers::lock
    unsigned long ident = 0;        // of its thread
    struct _ts *thread = nullptr;   // the interpreter's state of that thread, likewise only used on it
    // written by this worker only
    alignas(LINE) Tally taken;      // jobs it took from the ring and has dealt with, tombstones too
    Tally started, succeeded, failed;
    Tally again;                    // attempts after which the job went back, to be tried again
    Word<struct _object *> current; // the job it runs; its stack owns the reference
    Word<std::int64_t> began;       // when it began that job, for queues that are watched
    Entry place;                    // what it took from the shelf and has not put down; job: NULL when from the ring
    Held *held = nullptr;           // the innermost
    struct _object *judges = nullptr;       // the job that it has taken and asks about, whether it may start
    struct _object *holds = nullptr;        // taken and not begun, or run and being told of: it, too, is lost in a forked child
    const Standing *below = nullptr;        // and so are those that stand still on its thread
    std::int64_t delay = -1;        // after the attempt just made: ns until the next one; negative: none
    std::int32_t number = -1;       // its seat, from 0; negative: it is no worker. Under roster_lock until it runs
    Word<std::int64_t> born;        // when its thread began to work; 0: not yet
    Word<std::int64_t> asleep;      // since when it sleeps for want of a job; 0: it does not
    Word<std::int64_t> slept_ns;    // how long it did, before
    Word<std::int64_t> fresh;       // nothing in the ring was put before that, as far as it knows: see counts.pyx
    Word<std::uint64_t> spins, spin_hits;   // its patience's looks and hits
    Times waits, runs;              // of the jobs that were sampled
    // The job inside of which it waits for another of this pool, if it is still the current one; under roster_lock.
    struct _object *waits_in = nullptr;
    // Of a wait in its job that has no limit of time; under Waits::lock, and unchanged while it is listed there.
    struct _object *waits_for = nullptr;
    bool waits_for_room = false;            // in the queue whose worker it is, and for no job
    Objects waits_among;                    // others, of which each would do as well
    Standing waits_on;                      // what stands still for it, the innermost first
    const Held *waits_holding = nullptr;    // and what that holds
    struct Core *waits_as = nullptr;        // the pool that has a thread less for it
    Worker *next_waiting = nullptr;
    Worker *next_reached = nullptr;         // of a search, and
    std::uint64_t reached = 0;              // of which
    Entry inbox;                    // a job given to it while it was idle; under Shelf::lock, then its own
    struct _object *state = nullptr;    // what worker_init returned, owned; changed under roster_lock, by itself only
    bool seated = false;            // takes jobs: past worker_init, before worker_exit, and no spare; under roster_lock
};

// Those that wait in a job for a future, without a limit of time, in all pools; see deadlock.pyx.
struct Waits {
    Mutex lock;
    Worker *first = nullptr;
    std::uint64_t searches = 0;
};

// In a forked child, as below.
inline void waits_begin_anew(Waits *waits) noexcept {
    std::uint64_t searches = waits->searches;   // which left their marks
    new (waits) Waits;
    waits->searches = searches;
}

struct Idlers {
    Mutex lock;
    Worker *top = nullptr;          // last in, first woken: hot workers stay hot
    Word<std::uint32_t> count;      // listed workers; moved under lock, read without
    Word<std::uint64_t> woken;      // how many have been, ever; moved under lock
    alignas(LINE) Word<std::uint32_t> searching;    // workers awake without a job
    // The thread that has woken a sleeping worker, the last that did; 0: it has been asked.  Before it waits for what that
    // one is to do it had better leave it the processor than look out: it is slow to come to another.
    Word<std::uint64_t> rouser;
    static std::uint64_t me() noexcept { return std::hash<std::thread::id>()(std::this_thread::get_id()) | 1; }
#if defined(__GNUC__)
    __attribute__((noinline, cold))         // no part of the way of a job that wakes nobody
#endif
    void roused() noexcept { rouser.set(me()); }
#if defined(__GNUC__)
    __attribute__((noinline, cold))
#endif
    bool has_roused() noexcept {
        if (rouser.relaxed() != me()) return false;
        rouser.set(0);
        return true;
    }
};

// ---- future.pxd ----------------------------------------------------------

// What few futures need, made when one does.
struct Extension {
    Gate gate;                                  // threads in result() and exception()
    Objects callbacks;                          // owned; grows under the future's lock bit until it is done
    struct _object *condition = nullptr;        // threading.Condition, once somebody asked for `_condition`
    struct _object *waiters = nullptr;          // list of the standard library's waiters, likewise
    bool planned = false;                       // its function is a Plan, which judges and retries; set before it is queued
    bool sampled = false;                       // its wait and its run are timed
    bool expires = false;                       // before it starts, time alone may end it
    bool limited = false;                       // while it runs, likewise
    bool repeats = false;                       // but not this attempt, after which comes another; under Waits::lock
    struct Core *served_by = nullptr;           // no job itself, it is ended by one of this pool; only compared
    struct _object *served_in = nullptr;        // and while it runs, by this one; likewise, under Waits::lock
    Entry wish;                                 // how it wants to be queued, if planned
};

// Jobs of an engine that were resolved without a worker taking them from the
// ring first: cancelled, settled by hand, run by somebody who waited for them.
// Such a job stays in the ring as a tombstone until a taker meets it.
struct Unrun {
    Word<std::uint64_t> cancelled, succeeded, failed, dropped, expired;
    Word<std::uint64_t> tombstones;
    struct Core *core = nullptr;    // whose jobs they are
};

inline bool object_put(Objects *objects, struct _object *object) noexcept {
    try { objects->push_back(object); return true; }
    catch (...) { return false; }
}

// The jobs above `place`, from there to the top, behind what is listed.
inline void list_above(Objects *path, const Standing *top, const Standing *place) noexcept {
    std::size_t first = path->size();
    for (; top != place; top = top->outer)
        if (!object_put(path, top->job)) return;
    std::reverse(path->begin() + std::ptrdiff_t(first), path->end());
}

inline bool objects_copy(const Objects *from, Objects *to) noexcept {
    try { *to = *from; return true; }
    catch (...) { return false; }
}

// ---- batch.pxd -----------------------------------------------------------

// One item of a map, and then its result.
struct Cell {
    struct _object *object = nullptr;   // owned; NULL once the result has been taken
    Word<std::uint32_t> state;
};

constexpr std::uint64_t ENDED_BIT = std::uint64_t(1) << 63;
constexpr std::uint64_t NOBODY = ~std::uint64_t(0);
constexpr int SEGMENTS = 48;

struct Cells {
    // the feeder's
    alignas(LINE) Word<std::uint64_t> fed;      // items that may be claimed; moved by one thread
    // the runners'
    alignas(LINE) Word<std::uint64_t> claimed;  // next item to run; bit 63: ended, nothing more is claimed
    // the reader's
    alignas(LINE) Word<std::uint64_t> awaited;  // the item that the reader sleeps for, or NOBODY
    Waiter *reader = nullptr;                   // on the reader's stack; under Core::mapping's lock
    std::uint64_t taken = 0;                    // results handed out; the reader's own
    // what everybody reads for each item and is seldom written: not beside `claimed`, which each claim moves
    alignas(LINE) Word<std::uint32_t> runners;  // jobs that are queued or run to take items from here
    Word<std::uint32_t> unread;                 // nobody will take results any more
    Cell *segments[SEGMENTS] = {};              // the feeder's: what an item lives in never moves
    std::uint64_t mask = 0;                     // of the only segment; 0: segments of 64, 128, 256, ...
};

// empty: what nobody fills takes no memory.  Else nobody looks at a cell before its item is in it.
inline Cell *cells_alloc(std::size_t n, bool empty) noexcept {
    return static_cast<Cell *>(empty ? std::calloc(n, sizeof(Cell)) : std::malloc(n * sizeof(Cell)));
}
inline void cells_free(Cell *cells) noexcept { std::free(cells); }

// ---- engine.pxd ----------------------------------------------------------

// What the workers hold: it outlives the pool object, which the workers must
// not keep alive, until the last of them is gone.
struct Core {
    Ring ring;
    Idlers idlers;
    Gate room;                      // producers that wait for room
    Gate readers;                   // threads that wait for the next finished job
    Gate quiet;                     // threads that wait until nothing is left to do
    Gate mapping;                   // threads that wait for the next result of a map
    Word<std::uint32_t> purges;     // how often everything that had not started was resolved at once
    Word<std::uint32_t> forked;     // this is the parent's core, seen from a child
    Gate hired;                     // producers that wait for the first worker, which another one starts
    Ring finished;                  // futures kept for results(), oldest first
    Word<std::uint64_t> keep;       // how many of them without a reader; 0: none
    Word<std::uint32_t> reading;    // results() was called
    Mutex forgetting;               // held to set `reading`, and while a future is forgotten for want of it
    Word<std::uint64_t> forgotten;  // how many were

    Unrun unrun;
    Word<std::uint64_t> removed;    // jobs taken from the ring by other threads than workers
    Word<std::uint64_t> withdrawn;  // of those, given back unresolved
    Word<std::uint64_t> rejected;   // refused: no room, or closed

    Word<std::uint32_t> max_workers;
    Word<std::uint32_t> min_workers;    // that stay, however long they are idle
    std::int64_t idle_ns = -1;      // a worker beyond them leaves after so long without a job; negative: never
    Word<std::uint32_t> elastic;    // workers may leave before the end
    Word<std::uint32_t> reserved;   // workers that exist or are being started
    Word<std::uint32_t> started;    // of those, whose thread runs: never more than max_workers
    Word<std::uint32_t> coming;     // producers on their way in while workers may still be hired
    Word<std::uint32_t> gone;       // of those, whose thread has left the core
    Word<std::uint32_t> drained;    // of the started, that take nothing any more: all of a closed queue was taken
    Word<std::uint32_t> queueing;   // producers that wait for room
    Word<std::uint32_t> most_workers;   // that there might be, before fewer may; under Shelf::lock
    Word<std::uint32_t> stuck;      // workers that wait for room in their own queue
    Word<std::uint32_t> spares;     // workers beyond max_workers, for jobs that wait for jobs
    std::uint32_t max_spares = 0;   // of those, at the most
    Word<std::uint32_t> short_of_spares;    // one was wanted when there were so many, and it was said
    Mutex roster_lock;
    std::vector<Worker *> roster;   // owned; under roster_lock
    Resolving *resolving = nullptr; // likewise
    struct { std::uint64_t taken = 0, started = 0, succeeded = 0, failed = 0, again = 0, spins = 0, spin_hits = 0;
             std::int64_t alive_ns = 0, slept_ns = 0, fresh = 0; Times waits, runs; } retired; // sums of those erased from it
    Looks looks;                    // at the ring, of who asked since when a job waits

    Word<std::uint32_t> stop_asked; // running jobs shall end soon
    Word<std::uint32_t> hurried;    // nothing waits for a time any more
    Word<std::uint32_t> late;       // jobs whose future has ended before their function
    Word<std::uint32_t> late_limit; // for so many of them there is a worker more
    Word<std::uint32_t> replacing;  // those workers; min_workers and max_workers count them. Moved under Shelf::lock
    Word<std::uint32_t> outside;    // jobs that their submitter runs for want of room, and which may come again
    Word<std::uint32_t> broken;     // an initializer failed
    Mutex inspection;               // held while somebody reads `current` of the workers
    Word<std::uint32_t> inspecting;

    bool copies_context = true;
    std::uint32_t sample = 0;       // every so-manieth plain job is timed; 0: none
    std::uint32_t submits = 0;      // since the last sample, with the GIL
    std::uint32_t failed_flags = 8; // what a failed job's word gets: FAILED, or with UNREAD
    bool watched = false;           // notes when each job began
    bool ready = false;             // dispatch: a job goes to one chosen idle worker
    bool decides = false;           // a full queue asks its face what to do, rather than wait
    bool takes_jobs = false;        // its face makes a plan of what cannot be called, which may be a Job
    bool plans_all = false;         // its face makes a plan of every job
    Word<std::uint32_t> planned;    // jobs wait on the shelf; once set it stays
    struct _typeobject *again_type = nullptr;   // of what an attempt returns that is not the last
    struct _typeobject *future_type = nullptr;  // owned
    Word<std::uint32_t> references;             // the pool object, its workers and timekeeper

    Shelf shelf;
    Word<std::uint64_t> beside;     // jobs accepted that neither the ring nor the shelf took: run by the caller, dropped
    Word<std::uint64_t> tallies[16]; // what a face counts; see tallies.py
    Word<std::uint64_t> blocked;    // producers that slept for want of room
    Word<std::uint64_t> block_timed_out;    // of those, whose time was up before there was any
    Waiter clock;                   // where the timekeeper sleeps
    Word<std::uint32_t> keepers;    // 1 while it exists
    Gate sleepers;                  // jobs that sleep in current_job().sleep()
};

// Is a processor left for a thread that looks out while the workers work?
inline bool has_spare_processor(Core *core) noexcept {
    return core->started.relaxed() - core->idlers.count.relaxed() < std::uint32_t(spinning().processors);
}

// Of a future that is locked and not done: its engine.
inline Core *core_of(Unrun *unrun) noexcept {
    return unrun->core;
}

inline bool roster_put(Core *core, Worker *worker) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    try { core->roster.push_back(worker); return true; }
    catch (...) { return false; }
}

inline void resolving_put(Core *core, Resolving *one) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    one->next = core->resolving;
    core->resolving = one;
}
inline void resolving_drop(Core *core, Resolving *one) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    Resolving **place = &core->resolving;
    while (*place != one) place = &(*place)->next;
    *place = one->next;
}

// Ends the worker; what it has counted stays counted.
inline void roster_retire(Core *core, Worker *worker) noexcept {
    std::lock_guard<Mutex> hold(core->roster_lock);
    core->retired.taken += worker->taken.read();
    core->retired.started += worker->started.read();
    core->retired.succeeded += worker->succeeded.read();
    core->retired.failed += worker->failed.read();
    core->retired.again += worker->again.read();
    core->retired.slept_ns += worker->slept_ns.relaxed();
    if (worker->born.relaxed()) core->retired.alive_ns += now_ns() - worker->born.relaxed();
    core->retired.spins += worker->spins.relaxed();
    core->retired.spin_hits += worker->spin_hits.relaxed();
    if (worker->fresh.relaxed() > core->retired.fresh) core->retired.fresh = worker->fresh.relaxed();
    core->retired.waits.add(worker->waits);
    core->retired.runs.add(worker->runs);
    for (auto i = core->roster.begin(); i != core->roster.end(); ++i)
        if (*i == worker) { core->roster.erase(i); break; }
    delete worker;
}

// The worker that the calling thread is, if it is one; borrowed from its stack.
struct Here {
    Core *core = nullptr;
    Worker *worker = nullptr;
    struct _object *main = nullptr;     // what the worker's thread runs, and
    Worker *seat = nullptr;         // the worker that it is, whatever it runs in place
    Patience patience;              // of the thread itself, in result() and the like
    std::uint32_t submits = 0;      // since its last sample
    const Standing *standing = nullptr;     // jobs below the current one, in whose place it runs
    Core *hiring = nullptr;         // the pool for which a submit of this thread is starting a worker
    Word<std::uint32_t> *withdrawn = nullptr;   // set: it submits for somebody else, who may have withdrawn that
};
inline Here &this_thread() noexcept {
    static thread_local Here here;
    return here;
}

// Is the job that this thread is about to put one to be timed?  Without the GIL
// each thread counts its own.
inline bool is_sample(Core *core) noexcept {
#if RINGPOOL_SHARED
    std::uint32_t &submits = this_thread().submits;
#else
    std::uint32_t &submits = core->submits;
#endif
    if (++submits < core->sample) return false;
    submits = 0;
    return true;
}

inline void name_this_thread(const char *name) noexcept {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#else
    (void)name;
#endif
}

}  // namespace ringpool
