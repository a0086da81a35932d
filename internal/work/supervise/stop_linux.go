package supervise

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// stopping is a stop under way: the group has been interrupted and is killed when the timer fires.
type stopping struct {
	group group
	grace time.Duration // while the command is being started: what to do then; the rest is empty
	timer *time.Timer
	until time.Time
}

// stop interrupts the group of a command, if it is known here.
func (s *server) stop(unit string, grace time.Duration) (known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[unit]
	switch {
	case j == nil:
		return false, nil
	case j.state == jobEnded:
		return true, nil
	case j.state == jobStarting:
		if j.stop == nil || grace < j.stop.grace {
			j.stop = &stopping{group: group{fd: -1}, grace: grace}
		}
		return true, nil
	}
	return true, s.stopLocked(j, grace)
}

// stopLocked stops a command that runs; so its number is pinned. Asking again only ever shortens the grace.
func (s *server) stopLocked(j *job, grace time.Duration) error {
	until := time.Now().Add(grace)
	if j.stop != nil {
		if until.Before(j.stop.until) {
			j.stop.until = until
			j.stop.timer.Reset(grace)
		}
		return nil
	}
	g := openGroup(*j.process())
	if err := g.signal(unix.SIGINT, true); err != nil && !errors.Is(err, unix.ESRCH) {
		g.close()
		return fmt.Errorf("interrupt process group %d: %w", j.pid, err)
	}
	j.stop = &stopping{group: g, until: until}
	j.stop.timer = time.AfterFunc(grace, func() { s.kill(j) })
	s.workLocked(1)
	return nil
}

// kill ends the grace.
func (s *server) kill(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.stop == nil || time.Now().Before(j.stop.until) {
		return // the timer had fired when it was set anew or stopped
	}
	if err := j.stop.group.signal(unix.SIGKILL, j.state == jobRunning); err != nil && !errors.Is(err, unix.ESRCH) {
		s.log.Error("kill failed", "unit", j.unit, "err", err)
	}
	s.stoppedLocked(j)
}

func (s *server) stoppedLocked(j *job) {
	j.stop.timer.Stop()
	j.stop.group.close()
	j.stop = nil
	s.workLocked(-1)
}
