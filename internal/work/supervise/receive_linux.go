package supervise

import "fmt"

// receive deals with one line from the supervisor.
func (c *Client) receive(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Msg {
	case msgReply:
		c.replyLocked(m)
	case msgRunning:
		c.runningLocked(m)
	case msgEnded:
		if m.Exit != nil {
			c.endedLocked(m)
		}
	case msgUnknown:
		if u := c.units[m.Unit]; u != nil {
			u.known = false
			poke(c.look)
		}
	case msgSynced:
		c.settled = true
		poke(c.look)
	default:
		c.log.Debug("unknown message from the supervisor", "msg", m.Msg)
	}
}

// forgottenLocked tells whether a unit was forgotten and the supervisor had not heard of it when it sent this.
func (c *Client) forgottenLocked(unit string) bool {
	_, ok := c.forgotten[unit]
	return ok
}

func (c *Client) runningLocked(m *message) {
	if c.forgottenLocked(m.Unit) {
		return
	}
	u := c.unitLocked(m.Unit, string(m.Dir))
	u.known = true
	if m.Process != nil {
		u.process = m.Process
		c.emitLocked(Event{Unit: m.Unit, Process: m.Process})
	}
}

func (c *Client) endedLocked(m *message) {
	if c.forgottenLocked(m.Unit) {
		return
	}
	c.emitLocked(Event{Unit: m.Unit, Exit: m.Exit})
}

// replyLocked deals with an answer. The call may have been given up; what it started runs all the same.
func (c *Client) replyLocked(m *message) {
	k := c.calls[m.ID]
	switch {
	case m.Before:
		if k != nil {
			u := c.unitLocked(k.unit, k.dir)
			if u.watch != nil {
				k.proc = u.watch.process
				c.finishLocked(k)
				return
			}
			u.known = false
			u.before = append(u.before, k)
			poke(c.look)
		}
		return
	case m.Unknown && k != nil:
		c.stopByFilesLocked(k)
		return
	}
	if k == nil || k.op == opStart {
		if m.Process != nil {
			c.runningLocked(m)
		}
		if m.Exit != nil {
			c.endedLocked(m)
		}
	}
	if k == nil {
		return
	}
	switch {
	case m.NotStarted:
		c.dropLocked(m.Unit, nil)
		k.err = &StartError{m.Error}
	case m.Error != "":
		k.err = fmt.Errorf("the supervisor answers: %s", m.Error)
	case m.Process != nil:
		k.proc = *m.Process
	}
	c.finishLocked(k)
}

// stopByFilesLocked deals with a stop of a command that the supervisor does not know: if we know of one, its files are to be read first. One whose
// start is still on its way did not run when the stop came.
func (c *Client) stopByFilesLocked(k *call) {
	u := c.units[k.unit]
	switch {
	case u == nil, u.process == nil && !u.adopted && c.startPendingLocked(u):
		c.finishLocked(k)
	case u.watch != nil:
		c.stopWatchedLocked(u.watch, k)
	default:
		u.stops = append(u.stops, k)
		u.adopted = true
		poke(c.look)
	}
}

// stopWatchedLocked does a stop of a command that we watch.
func (c *Client) stopWatchedLocked(w *watch, k *call) {
	c.group.Go(func() { // until it is recorded and sent
		err := w.stop(k.grace)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.calls[k.id] == k {
			k.err = err
			c.finishLocked(k)
		}
	})
}
