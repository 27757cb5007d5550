// One schedule of the core, chosen by a seed: its threads are fibers of one real
// thread, each access to a Word is a point where another one may go on, and who
// does is drawn at random.  The same seed is the same run, so a seed is a report
// of a fault.  Compiled for the tests only (RINGPOOL_SCHEDULED).
//
// Half of the seeds draw at every point; the others give each fiber a priority and
// let the highest run, but for a few points where the one at work falls behind all
// others: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A Randomized
// Scheduler with Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010).
//
// Not shown: what a processor or a compiler reorders.  A run is sequentially
// consistent; ThreadSanitizer and the proof in README.md are for the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <ucontext.h>
#include <vector>

namespace ringpool {

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    void (*body)(void *) = nullptr;
    void *argument = nullptr;
    const void *awaits = nullptr;   // a mutex or parker; NULL: it can go on
    bool timed = false;             // its wait may end without what it awaits, at any time
    bool ended = false;
    std::int64_t priority = 0;
};

class Schedule {
    static constexpr std::size_t STACK = 64 * 1024;
    static constexpr int CHANGES = 3;           // points where a priority falls, of those seeds
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<std::uint64_t> changes;         // the steps at which they do
    ucontext_t home;
    Fiber *now = nullptr;
    std::uint64_t random = 1, steps = 0, ticks = 0;
    std::int64_t lowest = 0;
    std::int64_t time = 1;
    bool by_priority = false;

    std::uint64_t draw(std::uint64_t below) noexcept {     // splitmix64, S. Vigna
        std::uint64_t z = random += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return (z ^ z >> 31) % below;
    }
    static bool may_go_on(const Fiber &fiber) noexcept {
        return !fiber.ended && (fiber.awaits == nullptr || fiber.timed);
    }
    Fiber *choose() noexcept {
        Fiber *chosen = nullptr;
        std::uint64_t seen = 0;
        for (auto &fiber : fibers) {
            if (!may_go_on(*fiber)) continue;
            if (by_priority ? !chosen || fiber->priority > chosen->priority : draw(++seen) == 0) chosen = fiber.get();
        }
        return chosen;
    }
    static void enter(unsigned high, unsigned low) noexcept {
        auto *fiber = reinterpret_cast<Fiber *>(std::uintptr_t(high) << 32 | low);
        fiber->body(fiber->argument);
        fiber->ended = true;
    }
    void switch_away() noexcept {
        Fiber *before = now;
        now = steps < ENDLESS ? choose() : nullptr;
        if (now != before) swapcontext(&before->context, now != nullptr ? &now->context : &home);
    }
public:
    static constexpr std::uint64_t ENDLESS = 1'000'000;

    void begin(std::uint64_t seed, std::uint64_t length) {
        fibers.clear();
        changes.clear();
        random = seed;
        steps = ticks = 0;
        lowest = 0;
        time = 1;
        by_priority = seed % 2 != 0;
        for (int i = 0; i < CHANGES; ++i) changes.push_back(draw(length));
    }
    void add(void (*body)(void *), void *argument) {
        auto fiber = std::make_unique<Fiber>();
        fiber->stack.reset(new char[STACK]);
        fiber->body = body;
        fiber->argument = argument;
        fiber->priority = std::int64_t(draw(1'000'000)) + 1;
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = fiber->stack.get();
        fiber->context.uc_stack.ss_size = STACK;
        fiber->context.uc_link = &home;
        auto address = reinterpret_cast<std::uintptr_t>(fiber.get());
        makecontext(&fiber->context, reinterpret_cast<void (*)()>(enter), 2, unsigned(address >> 32), unsigned(address));
        fibers.push_back(std::move(fiber));
    }
    // False: nobody could go on, or there was no end to it.
    bool run() noexcept {
        // whoever ends comes back here; so does who finds that nobody can go on
        while (steps < ENDLESS && (now = choose()) != nullptr) swapcontext(&home, &now->context);
        now = nullptr;
        for (auto &fiber : fibers)
            if (!fiber->ended) return false;
        return true;
    }
    std::uint64_t taken() const noexcept { return steps; }
    // When something was done, in the order in which it was.
    std::uint64_t tick() noexcept { return ++ticks; }

    // ---- called by the core ----
    // Time goes on when somebody looks at it, and when a deadline passes.
    std::int64_t now_ns() noexcept { return time++; }
    void passes(std::int64_t deadline) noexcept {
        if (deadline > time) time = deadline;
    }
    void point() noexcept {
        if (now == nullptr) return;             // outside of a run
        ++steps;
        if (by_priority) {
            for (std::uint64_t change : changes)
                if (change == steps) now->priority = --lowest;
        }
        switch_away();
    }
    void stand_back() noexcept {                // it waits for what another one has to do
        if (now != nullptr) now->priority = --lowest;
        point();
    }
    // False: a timed wait was given up.
    bool await(const void *what, bool timed) noexcept {
        if (now == nullptr) return true;
        Fiber *me = now;
        me->awaits = what;
        me->timed = timed;
        point();
        bool there = me->awaits == nullptr;
        me->awaits = nullptr;
        me->timed = false;
        return there;
    }
    void came(const void *what) noexcept {
        for (auto &fiber : fibers)
            if (fiber->awaits == what) fiber->awaits = nullptr;
    }
};

inline Schedule &schedule() noexcept {
    static Schedule one;
    return one;
}

class ScheduledMutex {
    bool held = false;
public:
    void lock() noexcept {
        schedule().point();
        while (held) schedule().await(this, false);
        held = true;
    }
    bool try_lock() noexcept {
        schedule().point();
        return held ? false : (held = true);
    }
    void unlock() noexcept {
        held = false;
        schedule().came(this);
        schedule().point();
    }
};

class Patience;

// A deadline may pass at any point: which, is drawn as everything else.  But for one as
// far away as this.
constexpr std::int64_t NEVER = std::int64_t(1) << 60;
class ScheduledParker {
    bool token = false;
public:
    bool park_until(std::int64_t deadline, Patience *) noexcept {
        schedule().point();
        while (!token)
            if (!schedule().await(this, deadline >= 0 && deadline < NEVER) && !token) {
                schedule().passes(deadline);
                return false;
            }
        token = false;
        return true;
    }
    void park(Patience *) noexcept { park_until(-1, nullptr); }
    bool unpark() noexcept {
        schedule().point();
        token = true;
        schedule().came(this);
        return false;
    }
};

}  // namespace ringpool
