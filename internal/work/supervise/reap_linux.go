package supervise

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reap waits for children, all of them with one thread. A child that has ended is looked at first, its end is recorded, and
// only then it is waited for: until then its number is its own, and if we are killed in between, whoever inherits it can still see how it ended.
func (s *server) reap() {
	for {
		pid, status, err := waitid(unix.P_ALL, 0, unix.WNOWAIT)
		switch {
		case err == unix.ECHILD:
			<-s.children
		case err != nil:
			s.log.Error("waiting for children failed", "err", err)
			time.Sleep(time.Second)
		default:
			s.childEnded(pid, status)
		}
	}
}

func (s *server) childEnded(pid int, status syscall.WaitStatus) {
	s.mu.Lock()
	j, fed := s.byPID[pid], s.feeders[pid]
	s.mu.Unlock()
	if j == nil && fed == nil {
		// Either a command that is just being started, or the child of a start that failed (which is waited for there), or a
		// process that a command left behind and that came to us. Without starts under way only the last is possible.
		s.forks.Lock()
		defer s.forks.Unlock()
		s.mu.Lock()
		j, fed = s.byPID[pid], s.feeders[pid]
		s.mu.Unlock()
		if j == nil && fed == nil {
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return
		}
		// The number may have passed from such a child to a command in the meantime.
		again, st, err := waitid(unix.P_PID, pid, unix.WNOWAIT|unix.WNOHANG)
		if err != nil || again != pid {
			return
		}
		status = st
	}
	if fed != nil {
		s.feederEnded(fed, pid)
		return
	}
	leader := *j.process()
	s.kills.ending(leader)
	defer s.kills.ended(leader)
	e := exitOf(status, time.Now())
	if j.terms.judged() {
		if err := addExited(j.dir, e); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("exit not recorded yet", "unit", j.unit, "err", err)
		}
		s.mu.Lock()
		s.limits.remove(j.limited)
		s.collectLocked(j, pid)
		j.state, j.status = jobEnding, e
		over := s.feedOverLocked(j)
		s.mu.Unlock()
		if over {
			s.judge(j)
		}
		return
	}
	err := saveExit(j.dir, e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collectLocked(j, pid)
	s.endedLocked(j, e, err)
}

// collectLocked waits for a command that has ended.
func (s *server) collectLocked(j *job, pid int) {
	unix.Wait4(pid, nil, unix.WNOHANG, nil)
	delete(s.byPID, pid)
}

// judge ends a job whose command and feed have ended.
func (s *server) judge(j *job) {
	s.mu.Lock()
	h := history{terms: j.terms, limit: j.limit}
	if j.feed != nil {
		h.fed = j.feed.fed
	}
	e := j.status
	s.mu.Unlock()
	e = h.verdict(j.dir, e)
	err := saveExit(j.dir, e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endedLocked(j, e, err)
}

// saveExit is addExit for a unit that may have been removed, so that nobody will ask.
func saveExit(dir string, e Exit) error {
	err := addExit(dir, e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// endedLocked makes an end known; err says why it is not recorded.
func (s *server) endedLocked(j *job, e Exit, err error) {
	j.state, j.exit = jobEnded, &e
	if !j.forgotten {
		s.tellLocked(j.report(), nil)
	}
	if err != nil {
		s.saveLaterLocked(j, err)
	}
	s.dropLocked(j)
	s.workLocked(-1)
}

// saveLaterLocked keeps an exit that could not be recorded, say because the disk is full, and tries again.
func (s *server) saveLaterLocked(j *job, cause error) {
	if j.unsaved++; j.unsaved == 1 {
		s.log.Error("exit not recorded, will retry", "unit", j.unit, "err", cause)
		s.workLocked(1)
	}
	delay := min(time.Duration(j.unsaved)*time.Second, time.Minute)
	time.AfterFunc(delay, func() {
		err := addExit(j.dir, *j.exit) // never changes after the end
		if _, e := os.Stat(j.dir); errors.Is(e, fs.ErrNotExist) {
			err = nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.saveLaterLocked(j, err)
			return
		}
		s.log.Info("exit recorded", "unit", j.unit, "attempt", j.unsaved)
		j.unsaved = 0
		s.dropLocked(j)
		s.workLocked(-1)
	})
}
