//go:build unix

package proxy

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

const haveTerminals = true

// afterExit is how long the output of a command that has exited may take to
// come, if processes outside its session still hold the terminal.
const afterExit = time.Second

// terminal is a pseudo terminal with a command whose session has it.
type terminal struct {
	pty, tty *os.File
	cmd      *exec.Cmd
	exited   chan struct{} // closed when the command has exited
	gone     chan struct{} // closed when its session is gone, too
	hang     chan struct{} // closed by hangup
	hangOnce sync.Once
	work     sync.WaitGroup

	mu     sync.Mutex // guards reaped
	reaped bool       // the process id may mean another process
}

// startTerminal runs a command on a new terminal.
func startTerminal(argv []string) (*terminal, error) {
	t := &terminal{
		cmd:    exec.Command(argv[0], argv[1:]...),
		exited: make(chan struct{}), gone: make(chan struct{}), hang: make(chan struct{}),
	}
	var err error
	if t.pty, t.tty, err = pty.Open(); err != nil {
		return nil, err
	}
	t.cmd.Stdin, t.cmd.Stdout, t.cmd.Stderr = t.tty, t.tty, t.tty
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := t.cmd.Start(); err != nil {
		t.pty.Close()
		t.tty.Close()
		return nil, err
	}
	t.work.Go(t.reap) // ends soon after the command
	t.work.Go(t.end)  // ends with the session
	return t, nil
}

// Read reads what the terminal shows. It ends with io.EOF once the command has
// exited and all is read; we hold the terminal open as long as it runs, so it
// may close what it has.
func (t *terminal) Read(b []byte) (int, error) {
	for {
		select {
		case <-t.exited:
			t.pty.SetReadDeadline(time.Now().Add(afterExit))
		default:
		}
		n, err := t.pty.Read(b)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed), errors.Is(err, syscall.EIO):
			// A hang-up of the terminal may be seen before the exit.
			select {
			case <-t.exited:
			case <-t.hang:
			}
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
	}
}

// Write types.
func (t *terminal) Write(b []byte) (int, error) { return t.pty.Write(b) }

// typeEnd types the end of the input. It waits a moment, not longer, for a
// command that does not read.
func (t *terminal) typeEnd() {
	t.pty.SetWriteDeadline(time.Now().Add(endAgain))
	t.pty.Write([]byte{endOfFile})
}

// reap waits for the command, and lets its process id go when nothing will be
// sent to its session any more.
func (t *terminal) reap() {
	pid := t.cmd.Process.Pid
	if awaitExit(pid) != nil {
		t.cmd.Wait()
	}
	t.tty.Close()
	t.pty.SetReadDeadline(time.Now().Add(afterExit)) // for a Read that waits
	close(t.exited)
	<-t.gone
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cmd.Wait()
	t.reaped = true
}

// end sees to it that nothing of the session is left when the command has
// exited or the connection is gone.
func (t *terminal) end() {
	defer close(t.gone)
	select {
	case <-t.exited:
	case <-t.hang:
	}
	if t.signal(syscall.SIGHUP) == 0 {
		return
	}
	t.signal(syscall.SIGCONT)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	sig := syscall.Signal(0)
	for deadline := time.Now().Add(killGrace); ; <-poll.C {
		if t.signal(sig) == 0 {
			return
		}
		if time.Now().After(deadline) {
			if sig == syscall.SIGKILL {
				return // it waits for a device; there is nothing more to be done
			}
			sig, deadline = syscall.SIGKILL, time.Now().Add(killGrace)
		}
	}
}

// signal sends a signal to all processes of the session and tells how many
// there are.
func (t *terminal) signal(sig syscall.Signal) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reaped {
		return 0
	}
	pid := t.cmd.Process.Pid
	members, all := session(pid)
	for _, p := range members {
		if syscall.Kill(p, sig) == nil {
			n++
		}
	}
	if !all && syscall.Kill(-pid, sig) == nil {
		n++
	}
	return n
}

// hangup ends the command as the loss of a line does. It does not wait.
func (t *terminal) hangup() {
	t.hangOnce.Do(func() {
		close(t.hang)
		t.pty.Close()
	})
}

// hungUp tells whether hangup came before the command exited.
func (t *terminal) hungUp() bool {
	select {
	case <-t.hang:
		return true
	default:
		return false
	}
}

// wait waits until nothing is left.
func (t *terminal) wait() {
	t.work.Wait()
	t.pty.Close()
}
