package supervise

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// earlyStop is a stop that was asked for while the command is being started.
type earlyStop struct {
	grace   time.Duration
	waiting []waiter
}

// stop interrupts the group of a command, if it is known here, and answers. One that is being started is stopped and answered when it runs.
func (s *server) stop(n *session, id uint64, unit string, grace time.Duration) {
	m := &message{Msg: msgReply, ID: id, Unit: unit}
	s.mu.Lock()
	j := s.jobs[unit]
	runs := false
	switch {
	case j == nil:
		m.Unknown = true
	case j.state == jobStarting:
		if j.stop == nil {
			j.stop = &earlyStop{grace: grace}
		}
		j.stop.grace = min(j.stop.grace, grace)
		j.stop.waiting = append(j.stop.waiting, waiter{n, id})
		s.mu.Unlock()
		return
	default:
		runs = j.state == jobRunning
	}
	s.mu.Unlock()
	if runs {
		if err := s.stopRunning(j, grace); err != nil {
			m.Error = err.Error()
		}
	}
	n.out.add(m)
}

// stopRunning stops a command that has been started. Asking again only ever shortens the grace. That the group is to be killed is recorded
// before it is interrupted: all of us may be killed right after.
func (s *server) stopRunning(j *job, grace time.Duration) error {
	leader := *j.process()
	if !s.kills.add(leader, grace) {
		return nil
	}
	g, err := s.interrupt(j)
	if err != nil {
		s.kills.cancel(leader)
		if errors.Is(err, unix.ESRCH) {
			return nil // it has ended
		}
		return fmt.Errorf("interrupt process group %d: %w", leader.PID, err)
	}
	s.kills.sent(leader, g)
	return nil
}

// interrupt interrupts the group of a command, if that runs: then its number is its own.
func (s *server) interrupt(j *job) (group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.state != jobRunning {
		return group{fd: -1}, unix.ESRCH
	}
	g := openGroup(*j.process())
	err := g.signal(unix.SIGINT, true)
	if err != nil {
		g.close()
	}
	return g, err
}

// limit stops a command that exceeds a limit; text says which. That is recorded first: the command may end before we do.
func (s *server) limit(j *job, text string, grace time.Duration) {
	s.mu.Lock()
	runs := j.state == jobRunning
	s.mu.Unlock()
	if !runs {
		return
	}
	if err := addLimit(j.dir, text); err != nil {
		s.log.Error("limit not recorded", "unit", j.unit, "err", err)
	}
	s.mu.Lock()
	if runs = j.state == jobRunning; runs {
		j.limit = text
	}
	s.mu.Unlock()
	if !runs {
		return
	}
	if err := s.stopRunning(j, grace); err != nil {
		s.log.Error("command not stopped", "unit", j.unit, "limit", text, "err", err)
	}
}
