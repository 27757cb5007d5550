package main

import "sync"

// shared is the first design: all workers receive from one channel of jobs and send to one channel of results.
type shared struct {
	jobs chan Job
	out  chan result
}

func newShared(workers int) queue {
	q := &shared{jobs: make(chan Job, capacity), out: make(chan result, capacity)}
	var running sync.WaitGroup
	running.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			defer running.Done()
			for job := range q.jobs {
				q.out <- result{job.Run()}
			}
		}()
	}
	go func() {
		running.Wait()
		close(q.out)
	}()
	return q
}

func (q *shared) submit(job Job)         { q.jobs <- job }
func (q *shared) results() <-chan result { return q.out }
func (q *shared) close()                 { close(q.jobs) }
