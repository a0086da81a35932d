package supervise

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names the present boot of the machine. It cannot change while we run.
var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
})

// Alive tells whether the very process that p identifies still runs: its number, its start and the boot are the same. One that
// has ended and only waits for its parent to notice does not run.
func (p Process) Alive() bool {
	if p.PID <= 1 || p.Boot != bootID() {
		return false
	}
	s, err := readStat(p.PID)
	return err == nil && s.start == p.StartTime && !s.ended()
}

// identify gives the identity of the process that has the number now.
func identify(pid int) (Process, error) {
	s, err := readStat(pid)
	if err != nil {
		return Process{}, err
	}
	return Process{PID: pid, StartTime: s.start, Boot: bootID()}, nil
}

// stat is what we need of /proc/PID/stat.
type stat struct {
	state   byte
	ppid    int
	group   int
	session int
	threads int
	start   uint64
}

// ended tells whether only the entry is left. A first thread that ended before others of its process shows as a zombie too.
func (s stat) ended() bool {
	return (s.state == 'Z' || s.state == 'X') && s.threads <= 1
}

// readStat reads /proc/PID/stat.
func readStat(pid int) (stat, error) {
	// Plain system calls: this is done for every command that starts, and needs no poller.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return stat{}, err
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return stat{}, err
	}
	if n == 0 {
		return stat{}, io.ErrUnexpectedEOF
	}
	return parseStat(buf[:n])
}

var errStat = errors.New("unexpected form of /proc/PID/stat")

// parseStat takes a line apart. The second field is a name in parentheses that may hold anything, parentheses and spaces included.
func parseStat(b []byte) (stat, error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, errStat
	}
	f := bytes.Fields(b[i+1:]) // f[0] is field 3
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, errStat
	}
	s := stat{state: f[0][0]}
	var err error
	number := func(field int) uint64 {
		v, e := strconv.ParseInt(string(f[field-3]), 10, 64)
		if e != nil && err == nil {
			err = errStat
		}
		return uint64(v)
	}
	s.ppid = int(number(4))
	s.group = int(number(5))
	s.session = int(number(6))
	s.threads = int(number(20))
	s.start = number(22)
	return s, err
}

// ticksPerSecond is the unit of the start in /proc/PID/stat, the same on all architectures that Go knows.
const ticksPerSecond = 100

// began is when the process was started; one that is not known has begun now.
func (p Process) began() time.Time {
	now := time.Now()
	var up unix.Timespec
	if p.StartTime == 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return now
	}
	age := time.Duration(up.Nano()) - time.Duration(p.StartTime)*(time.Second/ticksPerSecond)
	return now.Add(-max(age, 0))
}
