package supervise

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// straysEvery is the time between two looks for strays; a stray is collected at the second look that sees it.
const straysEvery = time.Minute

// sweepStrays collects what nobody else will: a subreaper gets the orphans of all its descendants as children, say those of a shell that
// somebody else in this process has started, and those of commands whose supervisor died. When they end they would stay as zombies for ever.
//
// A child that somebody is going to wait for is never taken: package os keeps a pidfd of each of its processes until it was waited
// for, and so do we. A zombie of ours with no pidfd on it, seen twice with a minute in between, is nobody's.
func sweepStrays(ctx context.Context) {
	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err != nil {
		return // then package os has none either, and nobody's cannot be told from somebody's
	} else {
		unix.Close(fd)
	}
	t := time.NewTicker(straysEvery)
	defer t.Stop()
	seen := map[Process]bool{}
	for {
		select {
		case <-t.C:
			seen = sweep(seen)
		case <-ctx.Done():
			return
		}
	}
}

// sweep collects the strays that were seen before and gives those that are to be collected next time.
func sweep(seen map[Process]bool) map[Process]bool {
	next := map[Process]bool{}
	if pid, _, err := waitid(unix.P_ALL, 0, unix.WNOWAIT|unix.WNOHANG); err != nil || pid == 0 {
		return next // no zombie at all: the usual case, for the price of one system call
	}
	var held map[int]bool
	for _, pid := range children() {
		s, err := readStat(pid)
		if err != nil || !s.ended() {
			continue
		}
		if held == nil {
			held = heldByPidfd()
		}
		if held[pid] {
			continue
		}
		p := Process{PID: pid, StartTime: s.start, Boot: bootID()}
		if seen[p] {
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
			continue
		}
		next[p] = true
	}
	return next
}

// children lists our children, those that have ended included.
func children() []int {
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		for f := range bytes.FieldsSeq(b) {
			if pid, err := strconv.Atoi(string(f)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// heldByPidfd gives the processes on which this process has a pidfd.
func heldByPidfd() map[int]bool {
	held := map[int]bool{}
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil || !strings.Contains(target, "pidfd") {
			continue
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + filepath.Base(name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(info)) {
			if v, ok := strings.CutPrefix(line, "Pid:"); ok {
				if pid, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
					held[pid] = true
				}
			}
		}
	}
	return held
}
