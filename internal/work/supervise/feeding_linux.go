package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFeeders bounds the feeders that are started one after another for a command without any progress.
	maxFeeders = 8
	// feedPause is the time before the second feeder; it doubles with each.
	feedPause = 20 * time.Millisecond
	// feedPatience is how long the end of a feeder is waited for when its command has ended.
	feedPatience = 5 * time.Second
)

// feedState is the supervisor's part in a streamed command. It keeps the same descriptors as the feeder: if that is killed, the command sees no
// end of its input, and another feeder goes on. If the supervisor is killed, the feeder alone holds the pipe. Guarded by server.mu.
type feedState struct {
	in, out  int // as of feeder; -1: over
	pid      int // the feeder; 0: none
	starting bool
	timer    *time.Timer // to the next feeder
	failures int         // feeders that ended without progress
	pos      int64       // where the last one began
	fed      *fed        // how it ended
}

// openFeed opens the input of a streamed command, and makes its pipe.
func openFeed(dir string) (stdin int, f *feedState, err error) {
	name := filepath.Join(dir, stdinName)
	in, err := openRetry(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		unix.Close(in)
		return -1, nil, os.NewSyscallError("pipe", err)
	}
	unix.SetNonblock(p[1], true) // of this end alone
	return p[0], &feedState{in: in, out: p[1]}, nil
}

func (f *feedState) closeFiles() {
	if f.out >= 0 {
		unix.Close(f.in)
		unix.Close(f.out)
		f.in, f.out = -1, -1
	}
}

// startFeeder starts a feeder: this very program, in a session of its own. The caller holds forks for reading, and enters it in s.feeders.
func (s *server) startFeeder(j *job, in, out int) (pid int, err error) {
	rec, err := openJournal(j.dir)
	if err != nil {
		return 0, err
	}
	defer rec.close()
	null, err := openRetry(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(null)
	// Whatever has become of the file of our program since we were started. The flags that we were started with are no use there.
	pid, err = syscall.ForkExec("/proc/self/exe", s.feederArgv, &syscall.ProcAttr{
		Dir: j.dir,
		Env: append(os.Environ(), "GOMAXPROCS=1", "GOGC=20"),
		Files: []uintptr{uintptr(null), uintptr(null), 2,
			feederInput: uintptr(in), feederOutput: uintptr(out), feederJournal: rec.f.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start the process that feeds the command: %w", err)
	}
	p, err := identify(pid)
	if err == nil {
		err = rec.feeding(p)
	}
	if err != nil {
		s.log.Error("feeder not recorded", "unit", j.unit, "pid", pid, "err", err)
	}
	return pid, nil
}

// feederArgv makes the words that start a feeder of those that have started this process and of the flags among them.
func feederArgv(argv, flags []string) []string {
	return append(slices.Clone(argv[:len(argv)-len(flags)]), "--feed")
}

// feederEnded deals with the end of a feeder, which has not been waited for yet.
func (s *server) feederEnded(j *job, pid int) {
	h, err := readHistory(j.dir)
	if err != nil {
		s.log.Debug("journal not read", "unit", j.unit, "err", err) // the unit may have been removed
	}
	s.mu.Lock()
	unix.Wait4(pid, nil, unix.WNOHANG, nil)
	delete(s.feeders, pid)
	f := j.feed
	f.pid = 0
	switch {
	case h.fed != nil:
		f.fed = h.fed
		f.closeFiles()
	case j.state == jobRunning:
		s.log.Warn("feeder of a streamed command was lost", "unit", j.unit, "pid", pid)
		s.feedAgainLocked(j)
	default:
		s.feedClosedLocked(j)
	}
	over := f.fed != nil && j.state == jobEnding
	s.mu.Unlock()
	if over {
		s.judge(j)
	}
}

// feedAgainLocked has another feeder go on after a pause, unless that has failed too often.
func (s *server) feedAgainLocked(j *job) {
	f := j.feed
	if pos := fedBytes(f.in, f.out, fedAll); pos > f.pos {
		f.pos, f.failures = pos, 0
	}
	if f.failures++; f.failures >= maxFeeders {
		f.fed = &fed{How: fedBroken, Bytes: fedBytes(f.in, f.out, fedAll), Cause: "the process that feeds it ended again and again"}
		if err := addFed(j.dir, *f.fed); err != nil { // a short write, and the command must not see the end before
			s.log.Error("end of the input not recorded", "unit", j.unit, "err", err)
		}
		f.closeFiles()
		return
	}
	f.timer = time.AfterFunc(feedPause<<(f.failures-1), func() { s.feedAgain(j) })
}

// feedClosedLocked is for a command that has ended and has no feeder. We held its pipe, so its input did not break off.
func (s *server) feedClosedLocked(j *job) {
	f := j.feed
	f.fed = &fed{How: fedClosed, Bytes: fedBytes(f.in, f.out, fedClosed)}
	if err := addFed(j.dir, *f.fed); err != nil && !os.IsNotExist(err) {
		s.log.Error("end of the input not recorded", "unit", j.unit, "err", err)
	}
	f.closeFiles()
}

// feedAgain starts another feeder.
func (s *server) feedAgain(j *job) {
	s.forks.RLock()
	defer s.forks.RUnlock()
	s.mu.Lock()
	f := j.feed
	f.timer = nil
	if j.state != jobRunning || f.out < 0 {
		s.mu.Unlock()
		return
	}
	f.starting = true // whoever would close the files leaves it to us
	s.mu.Unlock()
	pid, err := s.startFeeder(j, f.in, f.out)

	s.mu.Lock()
	f.starting = false
	over := false
	switch {
	case err == nil:
		f.pid = pid
		s.feeders[pid] = j
		if j.state == jobEnding {
			s.expectFeederLocked(j)
		}
	case j.state == jobEnding:
		s.feedClosedLocked(j)
		over = true
	default:
		s.log.Error("feeder not started", "unit", j.unit, "err", err)
		s.feedAgainLocked(j)
	}
	s.mu.Unlock()
	if over {
		s.judge(j)
	}
}

// feedOverLocked tells, when the command has ended, whether its feed has; if not, judge is called when it does.
func (s *server) feedOverLocked(j *job) bool {
	f := j.feed
	switch {
	case f == nil || f.fed != nil:
		return true
	case f.pid != 0:
		s.expectFeederLocked(j)
		return false
	case f.starting:
		return false
	}
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	s.feedClosedLocked(j)
	return true
}

// expectFeederLocked gives a feeder whose command has ended some time to notice.
func (s *server) expectFeederLocked(j *job) {
	pid := j.feed.pid
	time.AfterFunc(feedPatience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.feeders[pid] == j { // so it has not been waited for, and the number is its own
			s.log.Warn("feeder did not end with its command", "unit", j.unit, "pid", pid)
			unix.Kill(pid, unix.SIGKILL)
		}
	})
}
