package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files of Config.Dir.
const (
	socketName = "socket"
	lockName   = "lock"
	logName    = "log"
)

// prepareDir makes dir if needed and sees to it that nobody else can put a socket there.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user (uid %d); remove it or choose another data directory", dir, st.Uid)
	case fi.Mode().Perm()&0o077 != 0:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// dial connects to the socket in dir, however long its path is: a socket's own limit is about 107 bytes.
func dial(dir string) (*net.UnixConn, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	conn, err := net.DialTimeout("unix", filepath.Join("/proc/self/fd", strconv.Itoa(fd), socketName), helloTimeout)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// absent tells whether a dial failed because nobody listens.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// listen makes the socket in the working directory, which the supervisor has made its Dir: so the path is short. Only the
// holder of the lock may call it, before it starts anything: the umask is the process's.
func listen() (*net.UnixListener, error) {
	if err := os.Remove(socketName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	return net.ListenUnix("unix", &net.UnixAddr{Name: socketName, Net: "unix"})
}

// peer tells who is at the other end of a connection, and refuses other users: only our own user and root may have commands run.
func peer(conn *net.UnixConn) (pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, err
	}
	if uid := int(cred.Uid); uid != os.Geteuid() && uid != 0 {
		return 0, fmt.Errorf("user %d is not allowed to connect", uid)
	}
	return int(cred.Pid), nil
}

// errLocked says that a supervisor holds the lock: it serves, starts or ends.
var errLocked = errors.New("locked")

// lock takes the lock of dir, without waiting; closing the file gives it back.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err == unix.EINTR {
			continue
		}
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, errLocked
		}
		return nil, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
}

// lockWhenFree takes the lock of dir as soon as its holder is gone. errLocked means that a supervisor serves already.
func lockWhenFree(dir string, patience time.Duration) (*os.File, error) {
	deadline := time.Now().Add(patience)
	for {
		f, err := lock(dir)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		if conn, err := dial(dir); err == nil {
			conn.Close()
			return nil, errLocked
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s is held by a process that does not answer", filepath.Join(dir, lockName))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
