// What is called at a time; under Shelf::lock.
//
// A call stays while it is made, so that one which finds no memory is made again.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

struct _object;

namespace ringpool {

struct Call {
    _object *function = nullptr;    // owned
    std::uint64_t id = 0;
};

class Calls {
    std::multimap<std::int64_t, Call> by_time;
    std::uint64_t last_id = 0;

    std::multimap<std::int64_t, Call>::iterator find(std::int64_t due, std::uint64_t id) noexcept {
        auto range = by_time.equal_range(due);
        for (auto call = range.first; call != range.second; ++call)
            if (call->second.id == id) return call;
        return by_time.end();
    }

public:
    std::uint64_t number() noexcept { return ++last_id; }
    // False: no memory, and the caller keeps the function.
    bool set(std::int64_t due, const Call &call) noexcept {
        try { by_time.emplace(due, call); return true; } catch (...) { return false; }
    }
    // The first that is due.  It stays, until it is dropped or put off.
    bool first(std::int64_t now, std::int64_t *due, Call *out) const noexcept {
        if (by_time.empty() || by_time.begin()->first > now) return false;
        *due = by_time.begin()->first;
        *out = by_time.begin()->second;
        return true;
    }
    // Its function, whose reference the caller gets; NULL: it has been dropped already.
    _object *drop(std::int64_t due, std::uint64_t id) noexcept {
        auto call = find(due, id);
        if (call == by_time.end()) return nullptr;
        _object *function = call->second.function;
        by_time.erase(call);
        return function;
    }
    void put_off(std::int64_t due, std::uint64_t id, std::int64_t until) noexcept {
        auto call = find(due, id);
        if (call == by_time.end()) return;
        auto node = by_time.extract(call);
        node.key() = until;
        by_time.insert(std::move(node));
    }
    std::int64_t next_due() const noexcept { return by_time.empty() ? -1 : by_time.begin()->first; }   // negative: none
};

}  // namespace ringpool
