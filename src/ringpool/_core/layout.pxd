# Declarations of layout.hpp; what each field means and who moves it stands there.

from cpython.object cimport PyObject, PyTypeObject
from cpython.pystate cimport PyThreadState
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.utility cimport pair


cdef extern from "layout.hpp" namespace "ringpool" nogil:
    cdef cppclass Word[T]:
        T relaxed() noexcept
        T acquire() noexcept
        T load() noexcept
        void set(T) noexcept
        void release(T) noexcept
        void store(T) noexcept
        T exchange(T) noexcept
        T add(T) noexcept
        T sub(T) noexcept
        T set_bits(T) noexcept
        bint cas(T&, T) noexcept

    cdef cppclass Mutex:
        void lock() noexcept
        void unlock() noexcept
        bint try_lock() noexcept

    cdef cppclass Tally:
        void bump() noexcept
        uint64_t read() noexcept

    cdef cppclass Patience:
        uint64_t looks
        uint64_t hits

    cdef cppclass Parker:
        void park(Patience*) noexcept
        bint park_until(int64_t deadline, Patience*) noexcept
        bint unpark() noexcept

    cdef cppclass Overflow "std::deque<void *>":
        void* front() noexcept
        size_t size() noexcept
        void*& operator[](size_t) noexcept
        void pop_front() noexcept

    cdef cppclass Slot:
        Word[uint64_t] turn
        void* item

    cdef cppclass Ring:
        Word[uint64_t] tail
        Word[uint64_t] head_seen
        Word[uint64_t] head
        Slot* slots
        uint64_t mask
        unsigned int shift
        uint64_t limit
        bint bounded
        Mutex lock
        Word[uint64_t] overflowing
        Overflow overflow

    cdef cppclass Waiter:
        Parker parker
        Waiter* next
        bint listed
        uint64_t ticket

    cdef cppclass Gate:
        Mutex lock
        Waiter* first
        Waiter* last
        Word[uint32_t] count
        uint64_t tickets
        uint32_t woken

    cdef cppclass Entry:
        PyObject* job
        uint64_t arrival
        int64_t since
        int64_t due
        uint64_t key
        int32_t level
        uint32_t lane
        int32_t prefers
        Entry* noted
        bint keyed
        bint holds_key
        bint nested
        bint judged

    cdef cppclass Call:
        PyObject* function
        uint64_t id

    cdef cppclass Calls:
        uint64_t number() noexcept
        bint first(int64_t, int64_t*, Call*) noexcept
        PyObject* drop(int64_t, uint64_t) noexcept
        void put_off(int64_t, uint64_t, int64_t) noexcept

    cdef cppclass Lane:
        uint32_t running
        uint32_t most
        uint32_t reserve
        double weight
        Word[uint64_t] ready

    cdef cppclass Lanes "std::deque<ringpool::Lane>":
        size_t size() noexcept
        void resize(size_t) except +
        Lane& operator[](size_t) noexcept

    cdef cppclass Levels "std::map<std::int32_t, std::uint64_t>":
        cppclass iterator:
            iterator operator++() noexcept
            bint operator!=(iterator) noexcept
            pair[int32_t, uint64_t] operator*() noexcept
        iterator begin() noexcept
        iterator end() noexcept

    cdef cppclass Shelf:
        Mutex lock
        Lanes lanes
        uint32_t workers
        uint32_t running
        int64_t ageing
        bint lifo
        uint64_t arrivals
        int64_t held_until
        bint shut
        Calls calls
        Word[uint64_t] direct
        Word[uint64_t] waiting
        Word[uint64_t] delayed
        Word[uint64_t] retrying
        Word[uint64_t] judging
        Word[uint32_t] runnable
        uint64_t total() noexcept
        PyObject* stranded
        void look() noexcept
        uint32_t lacks_workers() noexcept
        void strand(PyObject*) noexcept
        PyObject* take_stranded() noexcept
        bint add(const Entry&) noexcept
        bint pick(Entry*) noexcept
        bint pick_nested(const Entry&, PyObject*, Entry*) noexcept
        void put_down(const Entry&, bint) noexcept
        void leave(const Entry&) noexcept
        bint come_again(const Entry&, bint) noexcept
        bint make_node() noexcept
        void put_back(const Entry&) noexcept
        bint pick_oldest(uint32_t, Entry*) noexcept
        bint pick_any(Entry*) noexcept
        bint pick_later(Entry*) noexcept
        bint take_out(const Entry&, PyObject*) noexcept
        bint rerank(PyObject*, int32_t) noexcept
        bint delay(const Entry&, bool*) noexcept
        bint hold(int64_t) noexcept
        uint32_t make_due(int64_t) noexcept
        bint set_call(int64_t, const Call&, bool*) noexcept
        void sweep(bint (*)(PyObject*) noexcept, Objects*) noexcept
        bint count_levels(Levels*, int64_t*) noexcept
        void list(Objects*) noexcept
        int64_t next_due() noexcept

    cdef cppclass Times:
        Word[uint64_t]* counts
        Word[uint64_t] total_ns
        void note(int64_t) noexcept
        void add(const Times&) noexcept

    cdef cppclass Objects:
        size_t size() noexcept
        PyObject*& operator[](size_t) noexcept
        void swap(Objects&) noexcept
        void clear() noexcept

    cdef cppclass Held:
        const Entry* place
        Held* outer

    cdef cppclass Standing:
        PyObject* job
        const Standing* outer

    cdef cppclass Resolving:
        PyObject* job
        Resolving* next

    cdef cppclass Worker:
        Worker() except +
        Parker parker
        Patience patience
        bint answered
        Worker* next_idle
        bint idle
        unsigned long ident
        PyThreadState* thread
        Tally taken
        Tally started
        Tally succeeded
        Tally failed
        Tally again
        Word[PyObject*] current
        Word[int64_t] began
        Entry place
        Held* held
        PyObject* judges
        PyObject* holds
        const Standing* below
        int64_t delay
        int32_t number
        Word[int64_t] born
        Word[int64_t] asleep
        Word[int64_t] slept_ns
        Word[int64_t] fresh
        Word[uint64_t] spins
        Word[uint64_t] spin_hits
        Times waits
        Times runs
        PyObject* waits_in
        PyObject* waits_for
        bint waits_for_room
        Objects waits_among
        Standing waits_on
        const Held* waits_holding
        Core* waits_as
        Worker* next_waiting
        Worker* next_reached
        uint64_t reached
        Entry inbox
        PyObject* state
        bint seated

    cdef cppclass Waits:
        Mutex lock
        Worker* first
        uint64_t searches

    cdef cppclass Idlers:
        Mutex lock
        Worker* top
        Word[uint32_t] count
        Word[uint64_t] woken
        Word[uint32_t] searching
        void roused() noexcept
        bint has_roused() noexcept

    cdef cppclass Extension:
        Extension() except +
        Gate gate
        Objects callbacks
        PyObject* condition
        PyObject* waiters
        bint planned
        bint sampled
        bint expires
        bint limited
        bint repeats
        Core* served_by
        PyObject* served_in
        Entry wish

    cdef cppclass Unrun:
        Word[uint64_t] cancelled
        Word[uint64_t] succeeded
        Word[uint64_t] failed
        Word[uint64_t] dropped
        Word[uint64_t] expired
        Word[uint64_t] tombstones
        Core* core

    cdef cppclass Cell:
        PyObject* object
        Word[uint32_t] state

    cdef cppclass Cells:
        Cells() except +
        Word[uint64_t] fed
        Word[uint64_t] claimed
        Word[uint32_t] unread
        Word[uint32_t] runners
        Word[uint64_t] awaited
        Waiter* reader
        uint64_t taken
        Cell** segments
        uint64_t mask

    cdef cppclass Roster "std::vector<ringpool::Worker *>":
        size_t size() noexcept
        Worker*& operator[](size_t) noexcept

    cdef cppclass Retired:
        uint64_t taken
        uint64_t started
        uint64_t succeeded
        uint64_t failed
        uint64_t again
        uint64_t spins
        uint64_t spin_hits
        int64_t alive_ns
        int64_t slept_ns
        int64_t fresh
        Times waits
        Times runs

    cdef cppclass Looks:
        Mutex lock
        int64_t look(uint64_t head, uint64_t tail, int64_t now) noexcept

    cdef cppclass Core:
        Core() except +
        Ring ring
        Idlers idlers
        Gate room
        Gate readers
        Gate quiet
        Gate mapping
        Word[uint32_t] purges
        Word[uint32_t] forked
        Gate hired
        Ring finished
        Word[uint64_t] keep
        Word[uint32_t] reading
        Mutex forgetting
        Word[uint64_t] forgotten
        Unrun unrun
        Word[uint64_t] removed
        Word[uint64_t] withdrawn
        Word[uint64_t] rejected
        Word[uint32_t] max_workers
        Word[uint32_t] min_workers
        int64_t idle_ns
        Word[uint32_t] elastic
        Word[uint32_t] reserved
        Word[uint32_t] started
        Word[uint32_t] coming
        Word[uint32_t] gone
        Word[uint32_t] drained
        Word[uint32_t] queueing
        Word[uint32_t] stuck
        Word[uint32_t] most_workers
        Word[uint32_t] spares
        uint32_t max_spares
        Word[uint32_t] short_of_spares
        Mutex roster_lock
        Roster roster
        Resolving* resolving
        Retired retired
        Looks looks
        Word[uint32_t] stop_asked
        Word[uint32_t] hurried
        Word[uint32_t] late
        Word[uint32_t] late_limit
        Word[uint32_t] replacing
        Word[uint32_t] outside
        Word[uint32_t] broken
        Mutex inspection
        Word[uint32_t] inspecting
        bint copies_context
        uint32_t sample
        uint32_t failed_flags
        bint watched
        bint ready
        bint decides
        bint takes_jobs
        bint plans_all
        Word[uint32_t] planned
        PyTypeObject* again_type
        PyTypeObject* future_type
        Word[uint32_t] references
        Shelf shelf
        Word[uint64_t] beside
        Word[uint64_t]* tallies
        Word[uint64_t] blocked
        Word[uint64_t] block_timed_out
        Waiter clock
        Word[uint32_t] keepers
        Gate sleepers

    cdef cppclass Here:
        Core* core
        Worker* worker
        PyObject* main
        Worker* seat
        Patience patience
        const Standing* standing
        Core* hiring
        Word[uint32_t]* withdrawn

    void gate_begin_anew(Gate*) noexcept
    void waits_begin_anew(Waits*) noexcept
    bint is_sample(Core*) noexcept
    bint has_spare_processor(Core*) noexcept
    Core* core_of(Unrun*) noexcept
    bint roster_put(Core*, Worker*) noexcept
    void resolving_put(Core*, Resolving*) noexcept
    void resolving_drop(Core*, Resolving*) noexcept
    void roster_retire(Core*, Worker*) noexcept
    Here& this_thread() noexcept

    bint object_put(Objects*, PyObject*) noexcept
    void list_above(Objects*, const Standing*, const Standing*) noexcept
    bint objects_copy(const Objects*, Objects*) noexcept
    Cell* cells_alloc(size_t, bint) noexcept
    void cells_free(Cell*) noexcept
    unsigned int log2_of(uint64_t) noexcept
    const uint64_t ENDED_BIT
    const uint64_t NOBODY
    const int SEGMENTS
    const uint64_t CLOSED_BIT
    const int64_t FOREVER
    const int64_t PATIENT
    const int64_t NOW
    const int64_t LATEST
    const int64_t SOON_NS
    int64_t now_ns() noexcept
    int64_t coarse_now_ns() noexcept
    void relax() noexcept
    bint overflow_put(Ring*, void*) noexcept
    Slot* slots_alloc(size_t) noexcept
    void slots_free(Slot*) noexcept
    void name_this_thread(const char*) noexcept
