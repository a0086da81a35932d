//go:build unix

package unixsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen listens on a Unix socket (spec control-protocol 1.1): it takes
// the lock FILENAME.lock for as long as the listener is open, replaces a socket
// that was left behind, and sets the mode. What is there and is no socket is
// left alone, with an error.
func Listen(filename string, mode os.FileMode) (net.Listener, error) {
	lock, err := lockFile(filename + ".lock")
	if err != nil {
		return nil, fmt.Errorf("error opening Unix socket: could not acquire lock on socket file: %w", err)
	}
	ln, err := bind(filename, mode)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("error opening Unix socket: %w", err)
	}
	return &listener{Listener: ln, lock: lock}, nil
}

// errLocked has the text that operators know.
var errLocked = errors.New("fslock is already locked")

// lockFile takes an exclusive lock on a file, which lasts until it is closed.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fmt.Errorf("%w (%s)", e.Err, name)
		}
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: another process holds %s", errLocked, name)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func bind(filename string, mode os.FileMode) (net.Listener, error) {
	switch info, err := os.Lstat(filename); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s exists and is no socket; remove it or name another file", filename)
	default:
		if err := os.Remove(filename); err != nil {
			return nil, err
		}
	}
	// Linux gives the file the mode of the socket without that of the umask, so
	// nobody connects before the mode is set. Elsewhere this does nothing.
	early := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.Fchmod(int(fd), uint32(mode.Perm())) })
	}
	ln, err := (&net.ListenConfig{Control: early}).Listen(context.Background(), "unix", filename)
	if err != nil {
		return nil, fmt.Errorf("%w (a socket's path may have about 100 bytes)", err)
	}
	if err := os.Chmod(filename, mode); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// listener holds the lock until it has closed, and so removed, its socket.
// The lock file stays, as removing it would let two processes hold two of them.
type listener struct {
	net.Listener
	lock *os.File
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.lock.Close()
	return err
}
