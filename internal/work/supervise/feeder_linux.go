package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors of a feeder; its working directory is that of the unit.
const (
	feederInput   = 3 // "stdin", whose offset says how much has been fed
	feederOutput  = 4 // write end of the command's pipe, not blocking
	feederJournal = 5
)

const (
	// feedChunk is how much is moved at a time; the pipe takes less.
	feedChunk = 1 << 20
	// feedLook is the time between two looks for news where the system tells of them, and feedLookBlind where it does not.
	feedLook      = 5 * time.Second
	feedLookBlind = 50 * time.Millisecond
)

// feeder is the process that feeds one streamed command: it moves what is in the growing file "stdin" into the command's pipe until
// "stdin.end" says that this was all, the command closes its end, or the command ends. It depends on nobody: daemon and
// supervisor may come and go. The bytes move inside the system (splice), and the offset of the file with them. So another that gets the same
// descriptors goes on exactly where one was killed.
type feeder struct {
	in, out int
	dir     string
	notify  int      // inotify, or -1
	command int      // pidfd of the command, or -1: not known yet, or the system has none
	process *Process // the command; nil: not known yet
}

// feed is the main function of a feeder.
func feed() int {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(20)
	// Who stops the service stops the command by other means, and with the command ends its feeder.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
	closeOnExec()
	f := &feeder{in: feederInput, out: feederOutput, dir: ".", command: -1}
	f.notify = watchInput(f.in)
	j := journal{os.NewFile(feederJournal, processName)}
	if err := j.add(record{V: recordVersion, State: stateFed, Feed: f.run()}); err != nil {
		return 1
	}
	return 0
}

// run feeds, and tells how that ended.
func (f *feeder) run() *fed {
	for {
		size, err := readEnd(f.dir) // before the file, which is complete when this is there
		known := err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.ended(fedBroken, err)
		}
		pos, err := unix.Seek(f.in, 0, unix.SEEK_CUR)
		if err != nil {
			return f.ended(fedBroken, err)
		}
		want := int64(feedChunk)
		if known {
			if want = min(want, size-pos); want < 0 {
				return f.ended(fedBroken, fmt.Errorf("%s says %d bytes, and %d were there before", stdinEndName, size, pos))
			}
			if want == 0 {
				return f.ended(fedAll, nil)
			}
		}
		n, err := unix.Splice(f.in, nil, f.out, nil, int(want), unix.SPLICE_F_NONBLOCK)
		switch {
		case err == unix.EINTR, err == nil && n > 0:
		case err == unix.EPIPE:
			return f.ended(fedClosed, nil)
		case err == unix.EAGAIN:
			if f.wait(unix.POLLOUT) {
				return f.ended(fedClosed, nil)
			}
		case err != nil:
			return f.ended(fedBroken, fmt.Errorf("read %s: %w", stdinName, err))
		case known:
			return f.ended(fedBroken, fmt.Errorf("%s has %d bytes, %s says %d", stdinName, pos, stdinEndName, size))
		default:
			var st unix.Stat_t
			if unix.Fstat(f.in, &st) == nil && st.Size < pos {
				return f.ended(fedBroken, fmt.Errorf("%s became shorter", stdinName))
			}
			if f.wait(0) {
				return f.ended(fedClosed, nil)
			}
		}
	}
}

func (f *feeder) ended(how string, cause error) *fed {
	r := &fed{How: how, Bytes: fedBytes(f.in, f.out, how)}
	if cause != nil {
		r.Cause = clip(cause.Error())
	}
	return r
}

// fedBytes is how much a command was given: in is its input, out the write end of its pipe. What it has not read counts if it still can.
func fedBytes(in, out int, how string) int64 {
	pos, _ := unix.Seek(in, 0, unix.SEEK_CUR)
	if how == fedClosed {
		if unread, err := unix.IoctlGetInt(out, unix.TIOCINQ); err == nil {
			pos -= int64(unread)
		}
	}
	return max(pos, 0)
}

// wait waits for more input, or, with POLLOUT, for room in the pipe. gone: nobody reads any more, or the command has ended.
func (f *feeder) wait(events int16) (gone bool) {
	f.findCommand()
	if f.process != nil && !f.process.Alive() {
		return true
	}
	polls := []unix.PollFd{{Fd: int32(f.out), Events: events}, {Fd: int32(f.command), Events: unix.POLLIN}}
	if events == 0 || f.process == nil { // with a full pipe there is nothing to be learnt from more input
		polls = append(polls, unix.PollFd{Fd: int32(f.notify), Events: unix.POLLIN})
	}
	pause := feedLook
	if f.notify < 0 || f.process != nil && f.command < 0 {
		pause = feedLookBlind
	}
	if n, err := unix.Poll(polls, int(pause/time.Millisecond)); err != nil || n == 0 {
		return false
	}
	if len(polls) > 2 && polls[2].Revents != 0 {
		var b [4096]byte
		unix.Read(f.notify, b[:]) // what it says is looked up
	}
	return polls[0].Revents&unix.POLLERR != 0 || polls[1].Revents != 0
}

// findCommand learns from the journal whom to feed: a process that the command leaves behind may keep the pipe open, and is not fed.
func (f *feeder) findCommand() {
	if f.process != nil {
		return
	}
	if h, err := readHistory(f.dir); err == nil && h.process != nil {
		f.process = h.process
		if fd, err := unix.PidfdOpen(f.process.PID, 0); err == nil {
			f.command = fd // wait checks that it is the one
		}
	}
}

// watchInput opens an inotify of what a feeder waits for; -1: there is none.
func watchInput(in int) int {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1
	}
	for _, w := range []struct {
		name string
		mask uint32
	}{
		{fmt.Sprintf("/proc/self/fd/%d", in), unix.IN_MODIFY},
		{processName, unix.IN_MODIFY},
		{".", unix.IN_CREATE | unix.IN_MOVED_TO},
	} {
		if _, err := unix.InotifyAddWatch(fd, w.name, w.mask); err != nil {
			unix.Close(fd)
			return -1
		}
	}
	return fd
}
