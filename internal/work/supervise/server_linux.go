package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// jobState is where a command is in its life.
//
//	starting --> running --> [ending -->] ended     (then forgotten: dropped once a daemon has dealt with the end)
//	    \--> dropped                                (not started)
type jobState uint8

const (
	jobStarting jobState = iota
	jobRunning
	jobEnding // the command has ended and was waited for, its feeder has not ended yet
	jobEnded
)

// job is one command under the supervisor's care. Fields are guarded by server.mu, except those that never change.
type job struct {
	unit, dir string // never change
	terms     terms  // never changes

	state     jobState
	forgotten bool       // nobody wants to hear of it
	pid       int        // running, ending, ended
	start     uint64     // running, ending, ended
	status    Exit       // ending: how the command ended
	exit      *Exit      // ended
	stop      *earlyStop // starting: it is to be stopped as soon as it runs
	waiting   []waiter   // who is to hear what comes of the start
	unsaved   int        // how often the exit could not be recorded

	feed    *feedState // of a streamed command that runs or has
	limited *limited   // of a command with limits that runs or has
	limit   string     // the limit that it has exceeded
}

type waiter struct {
	s  *session
	id uint64
}

func (j *job) process() *Process {
	return &Process{PID: j.pid, StartTime: j.start, Boot: bootID()}
}

// server is the supervisor: all commands of the node and the daemons that are connected.
//
// Goroutines: one waits for children, one looks after limits, one kills, one accepts, two per connection (reader and writer), and one per command while it is being
// started. A command that runs has none.
type server struct {
	log  *slog.Logger
	idle time.Duration
	exe  string // identity of the program that runs, see exeID

	feederArgv []string // start a feeder

	slots    chan struct{} // one token per command being started
	children chan struct{} // capacity 1: there may be a child to wait for
	limits   *limiter
	kills    *killer
	sync     func(dir string, j journal) error // syncStart, or a test's

	// forks is held for reading from before a child is made until it is in byPID or feeders; who holds it for writing knows that a child
	// in neither is not a command, nor feeds one.
	forks sync.RWMutex

	mu       sync.Mutex // never held across I/O other than signals and waits that cannot block; taken after forks
	jobs     map[string]*job
	byPID    map[int]*job // running
	feeders  map[int]*job // by the number of their feeder
	sessions map[*session]struct{}
	busy     int  // jobs starting or running, exits not recorded; kills that are due count too
	retiring bool // ends as soon as it is not busy, daemon or not
	ended    bool
	quit     *time.Timer // the end, after idle
	trim     *time.Timer // returns memory when things have calmed down
	done     chan struct{}
}

func newServer(log *slog.Logger, idle time.Duration) *server {
	s := &server{
		log: log, idle: idle, exe: exeID("/proc/self/exe"),
		slots:    make(chan struct{}, startsAtOnce),
		children: make(chan struct{}, 1),
		jobs:     map[string]*job{},
		byPID:    map[int]*job{},
		feeders:  map[int]*job{},
		limits:   newLimiter(),
		sync:     syncStart,
		sessions: map[*session]struct{}{},
		done:     make(chan struct{}),
	}
	s.kills = newKiller(killsName, log, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settleLocked()
	})
	s.kills.takeUp() // before the end can come
	s.quit = time.AfterFunc(idle, s.end)
	s.trim = time.AfterFunc(time.Hour, debug.FreeOSMemory)
	return s
}

// exeID tells programs apart, also those that had the same name one after the other.
func exeID(name string) string {
	var st unix.Stat_t
	if unix.Stat(name, &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d:%d", st.Dev, st.Ino, st.Size, st.Mtim.Nano())
}

// serve accepts daemons until it is time to end. The process is to exit then.
func (s *server) serve(l *net.UnixListener) error {
	go s.reap()                           // to the end of the process
	go s.limits.run(context.Background()) // the same
	go s.kills.run(context.Background())  // the same
	errs := make(chan error, 1)
	go func() { errs <- s.accept(l) }() // until l is closed
	select {
	case <-s.done:
		// Whoever is in the queue of the listener is cut off, and starts another supervisor, which waits for our lock.
		l.Close()
		return nil
	case err := <-errs:
		return err
	}
}

func (s *server) accept(l *net.UnixListener) error {
	failures := 0
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of descriptors or memory: commands go on, and a later connection may succeed.
			if failures++; failures == 1 {
				s.log.Error("accept failed, will retry", "err", err)
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		failures = 0
		if _, err := peer(conn); err != nil {
			s.log.Warn("connection refused", "err", err)
			conn.Close()
			continue
		}
		go s.talk(conn) // until the connection ends
	}
}

// join takes a session up, with the answer to its hello and all that is known, unless there are too many.
func (s *server) join(n *session, hello *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= maxSessions {
		return false
	}
	n.out.add(hello)
	s.sessions[n] = struct{}{}
	for _, j := range s.jobs {
		if m := j.report(); m != nil {
			n.out.add(m)
		}
	}
	n.out.add(&message{Msg: msgSynced})
	s.settleLocked()
	return true
}

func (s *server) leave(n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, n)
	s.settleLocked()
}

// report is what a daemon that has just connected is told. One that is starting will be reported when it runs.
func (j *job) report() *message {
	m := &message{Unit: j.unit, Dir: text(j.dir)}
	switch {
	case j.forgotten:
		return nil
	case j.state == jobEnded:
		m.Msg, m.Process, m.Exit = msgEnded, j.process(), j.exit
	case j.state == jobRunning, j.state == jobEnding:
		m.Msg, m.Process = msgRunning, j.process()
	default:
		m.Msg = msgRunning // without a process: not yet
	}
	return m
}

// tellLocked sends m to every daemon but one.
func (s *server) tellLocked(m *message, but *session) {
	for n := range s.sessions {
		if n != but {
			n.out.add(m)
		}
	}
}

// workLocked counts something that keeps the supervisor from ending.
func (s *server) workLocked(delta int) {
	s.busy += delta
	if s.busy < 0 {
		panic("BUG: supervisor counts less than nothing to do")
	}
	s.settleLocked()
}

// settleLocked decides whether the end is near.
func (s *server) settleLocked() {
	s.trim.Reset(2 * time.Second)
	idle := s.busy == 0 && s.kills.pending() == 0
	switch {
	case idle && s.retiring:
		s.quit.Reset(0)
	case idle && len(s.sessions) == 0:
		s.quit.Reset(s.idle)
	default:
		s.quit.Stop()
	}
}

// end is called by the timer quit, and checks that its reason still holds.
func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.busy > 0 || s.kills.pending() > 0 || len(s.sessions) > 0 && !s.retiring {
		return
	}
	s.ended = true
	close(s.done)
}

// retire makes the supervisor end as soon as nothing runs. Commands that are started until then are taken care of.
func (s *server) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retiring = true
	s.settleLocked()
}

// tune keeps the process small: its work is waiting.
func tune() {
	runtime.GOMAXPROCS(min(runtime.NumCPU(), startsAtOnce))
	debug.SetGCPercent(25)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(48 << 20)
	}
}
