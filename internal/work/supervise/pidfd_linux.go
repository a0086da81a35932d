package supervise

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pidfd holds on to one process, whatever becomes of its number. Waiting for its end takes no thread.
type pidfd struct {
	f   *os.File
	raw syscall.RawConn
}

// openPidfd opens the process that has the number now, ended or not, unless it has been waited for.
func openPidfd(pid int) (*pidfd, error) {
	if pid <= 0 {
		return nil, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	return newPidfd(fd)
}

// newPidfd takes fd.
func newPidfd(fd int) (*pidfd, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime's poller takes it
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &pidfd{f: f, raw: raw}, nil
}

func (p *pidfd) close() { p.f.Close() }

// wait waits until the process has ended, whether or not its parent has noticed. Not more than one at a time.
func (p *pidfd) wait(ctx context.Context) error {
	p.f.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { p.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := p.raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// control runs f with the descriptor.
func (p *pidfd) control(f func(fd int) error) error {
	var err error
	return errors.Join(p.raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}

// childStatus gives the status of a child that has ended, and leaves it to be waited for. unix.ECHILD: not a child of ours.
func (p *pidfd) childStatus() (s syscall.WaitStatus, err error) {
	err = p.control(func(fd int) error {
		var pid int
		var e error
		if pid, s, e = waitid(unix.P_PIDFD, fd, unix.WNOWAIT|unix.WNOHANG); e == nil && pid == 0 {
			e = unix.EAGAIN
		}
		return e
	})
	return s, err
}

// reap waits for a child that has ended.
func (p *pidfd) reap() {
	p.control(func(fd int) error {
		_, _, err := waitid(unix.P_PIDFD, fd, unix.WNOHANG)
		return err
	})
}

// strangerStatus gives the status of a process that has ended, has been waited for, and is not a child of ours, if the system tells: Linux 6.15 does.
func (p *pidfd) strangerStatus() (s syscall.WaitStatus, ok bool) {
	p.control(func(fd int) error {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		if err := unix.IoctlPidfdInfo(fd, &info); err != nil {
			return err
		}
		s, ok = syscall.WaitStatus(info.Exit_code), info.Mask&unix.PIDFD_INFO_EXIT != 0
		return nil
	})
	return s, ok
}

// tellsStrangers tells whether strangerStatus can be expected to give a status.
func (p *pidfd) tellsStrangers() bool {
	return p.control(func(fd int) error {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		return unix.IoctlPidfdInfo(fd, &info)
	}) == nil
}

// reaped tells whether the parent has noticed the end.
func (p *pidfd) reaped() bool {
	return p.control(func(fd int) error { return unix.PidfdSendSignal(fd, 0, nil, 0) }) != nil
}

// awaitChild waits for a child of ours to end and collects it; fd is its pidfd, which it takes, or -1. It gives up when ctx ends.
func awaitChild(ctx context.Context, pid, fd int) {
	if fd >= 0 {
		if p, err := newPidfd(fd); err == nil {
			defer p.close()
			if p.wait(ctx) == nil {
				p.reap()
			}
			return
		}
	}
	for {
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || err == unix.ECHILD {
			return
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
}
