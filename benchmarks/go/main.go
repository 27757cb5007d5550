// Two worker queues as they are built in Go from channels, timed as the Python benchmarks time theirs: one goroutine
// submits n no-op jobs, and another has the result of each. Prints JSON: nanoseconds a job, of each design.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"time"
)

var designs = map[string]func(workers int) queue{"shared": newShared, "ready": newReady}

func main() {
	n := flag.Int("n", 10000, "jobs")
	workers := flag.Int("workers", 2, "goroutines that run them")
	repeats := flag.Int("repeats", 7, "runs, of which the median is told")
	design := flag.String("design", "", "shared or ready; nothing: both")
	flag.Parse()
	for name, value := range map[string]int{"n": *n, "workers": *workers, "repeats": *repeats} {
		if value < 1 {
			fail("-%s must be greater than 0, got %d", name, value)
		}
	}
	if flag.NArg() > 0 {
		fail("unexpected argument %q", flag.Arg(0))
	}
	names := []string{"shared", "ready"}
	if *design != "" {
		if designs[*design] == nil {
			fail("-design must be shared or ready, got %q", *design)
		}
		names = []string{*design}
	}
	medians := map[string]float64{}
	for _, name := range names {
		medians[name] = median(*repeats, func() float64 { return nanosecondsPerJob(designs[name], *n, *workers) })
	}
	report := map[string]any{"go": runtime.Version(), "n": *n, "workers": *workers, "ns_per_job": medians}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fail("cannot write to stdout: %v", err)
	}
}

func nanosecondsPerJob(open func(int) queue, n, workers int) float64 {
	q := open(workers)
	runtime.GC()
	start := time.Now()
	go func() {
		for i := 0; i < n; i++ {
			q.submit(noop(i))
		}
		q.close()
	}()
	sum := 0
	for r := range q.results() {
		sum += r.value
	}
	elapsed := time.Since(start)
	if sum != n*(n-1)/2 {
		fail("results were lost: they add up to %d instead of %d", sum, n*(n-1)/2)
	}
	return float64(elapsed.Nanoseconds()) / float64(n)
}

func median(repeats int, run func() float64) float64 {
	times := make([]float64, repeats)
	for i := range times {
		times[i] = run()
	}
	sort.Float64s(times)
	return (times[(repeats-1)/2] + times[repeats/2]) / 2
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "go: "+format+"\n", args...)
	os.Exit(2)
}
