package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawned is a supervisor that we have started. Another may turn out to have been faster, and then it ends at once.
type spawned struct {
	pid  int
	pipe *os.File      // the read end of a pipe whose other end it closes when the socket is there, or by ending
	gone chan struct{} // closed when it has ended and was waited for
}

// spawn starts a supervisor: in its own session, with nothing of ours but the
// log, so that what ends us does not reach it. It is waited for until life ends.
func (c *Client) spawn(life context.Context) (*spawned, error) {
	if err := prepareDir(c.dir); err != nil {
		return nil, fmt.Errorf("directory of the supervisor: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	log, err := openLog(filepath.Join(c.dir, logName))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	argv := append(append([]string(nil), c.argv...), "--dir", c.dir, "--idle", c.cfg.Idle.String(), "--ready", strconv.Itoa(3))
	env := c.cfg.Env
	if env == nil {
		env = os.Environ()
	}
	pidfd := -1
	pid, err := forkUnblocked(argv, &syscall.ProcAttr{
		Dir: c.dir, Env: env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd(), w.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start the supervisor: %w", &os.PathError{Op: "fork/exec", Path: argv[0], Err: err})
	}
	c.log.Debug("supervisor started", "pid", pid)
	s := &spawned{pid: pid, pipe: r, gone: make(chan struct{})}
	c.group.Go(func() { // until it has ended or Run does
		defer close(s.gone)
		awaitChild(life, pid, pidfd)
	})
	return s, nil
}

// forkUnblocked starts a process that has no signals blocked, whatever we were started with: it passes that on to the commands.
func forkUnblocked(argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, &old); err == nil {
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	}
	return syscall.ForkExec(argv[0], argv, attr)
}

// ready waits until it listens or has ended; false means that ctx ended first.
func (s *spawned) ready(ctx context.Context) bool {
	defer s.pipe.Close()
	defer context.AfterFunc(ctx, func() { s.pipe.SetReadDeadline(time.Unix(1, 0)) })()
	var b [1]byte
	s.pipe.Read(b[:])
	return ctx.Err() == nil
}

func (s *spawned) ended() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// openLog opens the log for appending, and begins it anew when it has grown.
func openLog(name string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if fi, err := os.Lstat(name); err == nil && fi.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(name, flags|unix.O_NOFOLLOW, 0o600)
}
