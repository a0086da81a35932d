package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

var errNotFound = errors.New("no process found")

// recordUnrecorded finishes what a supervisor was killed in: commands that it started and had no time to record. dirs are those of units
// that were being started. It is done as soon as possible, for a process that has ended cannot be recognised any more.
func recordUnrecorded(dirs []string) {
	var missing []string
	for _, dir := range dirs {
		if _, err := ReadProcess(dir); errors.Is(err, errStarting) {
			missing = append(missing, dir)
		}
	}
	for dir, p := range searchProcesses(missing) {
		addProcess(dir, p) // if that fails, it is searched once more when somebody wants to know
	}
}

// awaitProcess searches the process of one unit, with some patience: when its supervisor is killed, a command may just be on its way from fork to
// exec, and not look like itself yet.
func awaitProcess(ctx context.Context, dir string) (Process, error) {
	for attempt := 0; ; attempt++ {
		if p, ok := searchProcesses([]string{dir})[dir]; ok {
			return p, nil
		}
		if attempt == 4 || !sleep(ctx, 20*time.Millisecond) {
			return Process{}, errNotFound
		}
	}
}

// searchProcesses looks for the commands of units whose processes were not recorded, because the supervisor was killed right between
// starting them and writing that down. A command leads its session, and its standard input is, unless it closed that, the unit's; that of a
// streamed one is a pipe, so there it is its output. Of several the oldest is the command, and others its offspring.
func searchProcesses(dirs []string) map[string]Process {
	type file struct {
		fd       string
		dev, ino uint64
	}
	want := map[file]string{}
	for _, dir := range dirs {
		fd, name := "0", stdinName
		if h, err := readHistory(dir); err == nil && h.terms.Stream {
			fd, name = "1", stdoutName
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, name), &st) == nil {
			want[file{fd, uint64(st.Dev), st.Ino}] = dir
		}
	}
	found := map[string]Process{}
	if len(want) == 0 {
		return found
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return found
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if err != nil || s.session != pid || s.ended() {
			continue
		}
		for _, fd := range []string{"0", "1"} {
			var st unix.Stat_t
			if unix.Stat(filepath.Join("/proc", name, "fd", fd), &st) != nil {
				continue
			}
			dir, ok := want[file{fd, uint64(st.Dev), st.Ino}]
			if old, more := found[dir]; ok && (!more || s.start < old.StartTime) {
				// Were the number passed on in between, the start would differ from then on.
				found[dir] = Process{PID: pid, StartTime: s.start, Boot: bootID()}
			}
		}
	}
	return found
}
