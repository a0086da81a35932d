package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// link is a connection to a supervisor that has greeted us.
type link struct {
	conn *net.UnixConn
	r    *bufio.Reader
	proc *pidfd // the supervisor; nil if the system does not tell
	pid  int
	exe  string   // identity of its program
	able []string // what it can, as it says

	wmu sync.Mutex // one line at a time
}

// errAbsent says that there is certainly no supervisor.
var errAbsent = errors.New("no supervisor runs")

// refusedError says that the supervisor that runs will not work with us.
type refusedError struct {
	pid   int
	cause string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the supervisor that runs (process %d) refuses: %s; it ends by itself when its commands have ended and it gets SIGTERM", e.pid, e.cause)
}

// close ends the connection and gives up everything that belongs to it.
func (l *link) close() {
	l.conn.Close()
	if l.proc != nil {
		l.proc.close()
	}
}

// can tells whether the supervisor has all abilities.
func (l *link) can(needs []string) bool {
	for _, n := range needs {
		if !slices.Contains(l.able, n) {
			return false
		}
	}
	return true
}

// send writes one request without an answer. Losing it is allowed.
func (l *link) send(q *request) {
	if line, err := appendLine(nil, q); err == nil {
		l.write(line)
	}
}

// write writes one line; if that fails, the connection ends.
func (l *link) write(line []byte) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.writeLocked(line)
}

func (l *link) writeLocked(line []byte) {
	l.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := l.conn.Write(line); err != nil {
		l.conn.Close()
	}
}

// connect finds the supervisor, or starts one if that is wanted. errAbsent: there is none, and none was wanted.
func (c *Client) connect(life context.Context, start bool) (*link, error) {
	ctx, cancel := context.WithTimeout(life, spawnTimeout)
	defer cancel()
	var child *spawned
	pause := 5 * time.Millisecond
	for {
		conn, err := dial(c.dir)
		if err == nil {
			l, err := c.greet(ctx, conn)
			var refused *refusedError
			if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
				return l, err
			}
			c.log.Debug("supervisor did not greet", "err", err) // it may be about to end
		} else if !absent(err) {
			return nil, err
		} else if start && (child == nil || child.ended()) {
			if child, err = c.spawn(life); err != nil {
				return nil, err
			}
			if child.ready(ctx) {
				continue
			}
		} else if !start {
			held, err := lock(c.dir)
			if err == nil {
				held.Close()
				return nil, errAbsent
			}
			if errors.Is(err, os.ErrNotExist) {
				return nil, errAbsent
			}
			if !errors.Is(err, errLocked) {
				return nil, err
			}
		}
		if !sleep(ctx, pause) {
			return nil, fmt.Errorf("no supervisor answers in %s, see its file %s: %w", c.dir, logName, context.Cause(ctx))
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// greet makes the first exchange. It takes conn.
func (c *Client) greet(ctx context.Context, conn *net.UnixConn) (_ *link, err error) {
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	pid, err := peer(conn)
	if err != nil {
		return nil, err
	}
	env := c.cfg.Env
	if env == nil {
		env = os.Environ()
	}
	workDir, _ := os.Getwd() // if it is gone, commands get another
	line, err := appendLine(nil, &request{Op: opHello, Versions: []int{protocolVersion}, Env: texts(env), WorkDir: text(workDir)})
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(helloTimeout))
	if _, err := conn.Write(line); err != nil {
		return nil, err
	}
	l := &link{conn: conn, r: bufio.NewReader(conn)}
	var m message
	if err := readLine(l.r, &m); err != nil {
		return nil, err
	}
	switch {
	case m.Msg != msgHello:
		return nil, &refusedError{pid, fmt.Sprintf("it sends %q instead of a greeting", m.Msg)}
	case m.Error != "":
		return nil, &refusedError{pid, m.Error}
	case m.Version != protocolVersion:
		return nil, &refusedError{pid, fmt.Sprintf("it answered in version %d of the protocol", m.Version)}
	}
	l.pid, l.exe, l.able = pid, m.Exe, m.Can
	l.proc, _ = openPidfd(pid) // it has just answered, so the number is its own
	conn.SetDeadline(time.Time{})
	return l, nil
}
