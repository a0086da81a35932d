package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// killsName is the directory in Config.Dir of the kills that are due.
	killsName = "kills"
	// killsEvery is the time between two looks whether anybody is left of the groups that were stopped.
	killsEvery = 200 * time.Millisecond
	// killsRefresh is the time between two records that a group is still there.
	killsRefresh = time.Second
	// killsLeisure is how long a kill that was taken up waits at least: who adopts the command is to see how it ends.
	killsLeisure = time.Second
	// killSize is the size of a record, so that it is written anew in one piece and in its place, also on a full disk.
	killSize = 512
)

// killer sees to it that groups that were interrupted are killed when their grace is over, whoever lives then: each such kill is in a file
// of Config.Dir before the interrupt is sent, and is taken up by whoever comes to look after commands, be it the next supervisor or a daemon.
// So several may do the same kill; each checks that the group is the one that was meant.
//
// A group whose leader is gone cannot be told by a number alone. It has its number as long as it has members, so whoever got the number after it began
// later than the last time at which it was seen: a process of this group and of the leader's session that began before is certainly of it.
type killer struct {
	dir     string
	log     *slog.Logger
	changed func()        // some were done; called without locks
	wake    chan struct{} // capacity 1: there is a new one
	count   atomic.Int32  // of due

	mu     sync.Mutex // held across signals, looks at /proc and the writing of short files
	due    map[Process]*due
	closed bool
}

// due is one kill.
type due struct {
	killRecord
	group group // once it was opened while the leader certainly had its number
	held  bool
	own   bool          // it was asked for here: so the file is made anew if it is gone
	left  bool          // it was left by others
	led   bool          // somebody here may wait for the leader
	asked bool          // somebody is about to send the interrupt
	saved bool          // the file says what we know
	early time.Duration // since the boot: not before
}

// killRecord is what the file of a kill says. Times are milliseconds since the boot.
type killRecord struct {
	V           int    `json:"v"`
	Process            // the leader
	Space       string `json:"pidns"`                 // name of the space of process numbers
	Until       int64  `json:"until_ms"`              // end of the grace
	Seen        int64  `json:"seen_ms"`               // when the number was certainly still that of the group
	Interrupted bool   `json:"interrupted,omitempty"` // the interrupt was sent
}

func newKiller(dir string, log *slog.Logger, changed func()) *killer {
	return &killer{dir: dir, log: log, changed: changed, wake: make(chan struct{}, 1), due: map[Process]*due{}}
}

// sinceBoot counts the time that the machine was suspended too, as the start of a process does.
func sinceBoot() time.Duration {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // cannot fail
	return time.Duration(now.Nano())
}

// pidSpace names the space of process numbers that we live in.
var pidSpace = sync.OnceValue(func() string {
	s, _ := os.Readlink("/proc/self/ns/pid")
	return s
})

// pending is the number of kills that are due.
func (k *killer) pending() int { return int(k.count.Load()) }

// add records that the group of leader, which runs, is to be killed after grace. interrupt: the caller is to send the interrupt now, and to
// call sent or cancel. A kill that is due already only ever comes sooner.
func (k *killer) add(leader Process, grace time.Duration) (interrupt bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer poke(k.wake)
	now := sinceBoot()
	until := (now + grace + time.Millisecond - 1).Milliseconds() // never before its time
	d := k.due[leader]
	if d == nil {
		d = &due{
			killRecord: killRecord{V: recordVersion, Process: leader, Space: pidSpace(), Until: until, Seen: now.Milliseconds()},
			group:      group{leader: leader, fd: -1},
		}
		k.due[leader] = d
		k.count.Add(1)
	}
	interrupt = !d.Interrupted && !d.asked
	d.Until = min(d.Until, until)
	d.own, d.asked, d.led, d.early = true, true, true, 0
	k.saveLocked(d)
	return interrupt
}

// sent says that the interrupt was sent to g, which it takes.
func (k *killer) sent(leader Process, g group) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.due[leader]
	if d == nil || k.closed {
		g.close()
		return
	}
	d.group.close()
	d.group, d.held, d.Interrupted = g, true, true
	k.saveLocked(d)
	poke(k.wake) // a look since add saw no group, so the next would be at the end of the grace
}

// cancel takes back an add: the command had ended before, or could not be interrupted.
func (k *killer) cancel(leader Process) {
	k.mu.Lock()
	if d := k.due[leader]; d != nil {
		if d.asked = false; !d.left {
			k.dropLocked(d)
		}
	}
	k.mu.Unlock()
	k.changed()
}

// ending is called when the leader has ended and before it is waited for, so that its number is still its own: what it
// started until now is of its group.
func (k *killer) ending(leader Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.due[leader]; d != nil {
		d.Seen = sinceBoot().Milliseconds()
		k.saveLocked(d)
	}
}

// ended is called when the leader has been waited for: perhaps nobody is left to be killed.
func (k *killer) ended(leader Process) {
	k.mu.Lock()
	d := k.due[leader]
	over := false
	if d != nil {
		d.led = false
		if over = d.emptyLocked(); over {
			k.dropLocked(d)
		}
	}
	k.mu.Unlock()
	if over {
		k.changed()
	}
}

// emptyLocked tells whether nobody is left of the group.
func (d *due) emptyLocked() bool {
	if !d.held || d.group.signal(0, false) == unix.ESRCH {
		return d.held
	}
	if d.led {
		return false
	}
	// Who was left behind may have come to us, and nobody else waits for it.
	for {
		if pid, err := unix.Wait4(-d.PID, nil, unix.WNOHANG, nil); err != nil || pid == 0 {
			break
		}
	}
	return d.group.signal(0, false) == unix.ESRCH
}

// dropLocked ends a kill that was done or is not to be done.
func (k *killer) dropLocked(d *due) {
	if err := os.Remove(k.file(d.Process)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("record of a kill that was done not removed", "err", err)
	}
	k.leaveLocked(d)
}

// leaveLocked leaves a kill to others.
func (k *killer) leaveLocked(d *due) {
	d.group.close()
	delete(k.due, d.Process)
	k.count.Add(-1)
}

// takeUp finds the kills that others have left, and does them when they are due.
func (k *killer) takeUp() {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Error("kills that are due not read", "err", err)
	}
	if len(entries) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	defer poke(k.wake)
	for _, e := range entries {
		name := filepath.Join(k.dir, e.Name())
		r, err := readKill(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			// It may just be being written. If its writer was killed in that, no interrupt was sent.
			if fi, e := e.Info(); e == nil && time.Since(fi.ModTime()) > time.Minute {
				k.log.Warn("record of a kill is damaged and is dropped", "err", err)
				os.Remove(name)
			}
			continue
		}
		if r.Boot != bootID() || r.Space != pidSpace() {
			os.Remove(name) // the processes that it meant are gone
			continue
		}
		if k.due[r.Process] != nil {
			continue
		}
		d := &due{killRecord: r, group: group{leader: r.Process, fd: -1}, left: true, saved: true, early: sinceBoot() + killsLeisure}
		if g := openGroup(r.Process); r.Process.Alive() { // so it is what was opened
			d.group, d.held, d.led = g, true, true
		} else {
			g.close()
		}
		k.due[r.Process] = d
		k.count.Add(1)
		k.log.Info("kill of a process group taken up", "pid", r.PID)
	}
}

// run does the kills until ctx ends; the rest is left to others.
func (k *killer) run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-k.wake:
		case <-ctx.Done():
			k.mu.Lock()
			defer k.mu.Unlock()
			k.closed = true
			for _, d := range k.due {
				k.leaveLocked(d)
			}
			return
		}
		if pause := k.check(); pause > 0 {
			t.Reset(pause)
		}
	}
}

// check does what is due, and gives the time to the next look; 0: there is nothing to look at.
func (k *killer) check() (pause time.Duration) {
	k.mu.Lock()
	before := len(k.due)
	for _, d := range k.due {
		next := k.lookLocked(d)
		if next > 0 && (pause == 0 || next < pause) {
			pause = next
		}
	}
	fewer := len(k.due) < before
	k.mu.Unlock()
	if fewer {
		k.changed()
	}
	return pause
}

// lookLocked deals with one kill; 0: it is over.
func (k *killer) lookLocked(d *due) time.Duration {
	now := sinceBoot()
	left := max(time.Duration(d.Until)*time.Millisecond, d.early) - now
	if !d.own && left <= 0 && !k.mergeLocked(d) {
		k.leaveLocked(d) // somebody has done it
		return 0
	}
	switch {
	case left <= 0:
		if err := d.group.kill(d.Seen); err != nil && !errors.Is(err, unix.ESRCH) {
			k.log.Error("process group not killed", "pid", d.PID, "err", err)
		}
	case d.emptyLocked():
	default:
		if d.held && (now.Milliseconds()-d.Seen >= killsRefresh.Milliseconds() || !d.saved) {
			if d.group.exact() || d.Process.Alive() {
				d.Seen = now.Milliseconds() // the number was held just now
			}
			if !d.own && !k.mergeLocked(d) {
				k.leaveLocked(d)
				return 0
			}
			k.saveLocked(d)
		}
		if d.held {
			return min(left, killsEvery)
		}
		return left
	}
	k.dropLocked(d)
	return 0
}

// mergeLocked learns from the file of a kill that others may look after as well; false: it is gone.
func (k *killer) mergeLocked(d *due) bool {
	r, err := readKill(k.file(d.Process))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		d.Until, d.Seen, d.Interrupted = min(d.Until, r.Until), max(d.Seen, r.Seen), d.Interrupted || r.Interrupted
	}
	return true
}

func (k *killer) file(leader Process) string {
	return filepath.Join(k.dir, strconv.Itoa(leader.PID)+"-"+strconv.FormatUint(leader.StartTime, 10))
}

// saveLocked writes the file of a kill. It need not be synced: what ends the machine ends the group.
func (k *killer) saveLocked(d *due) {
	saved := d.saved
	err := k.writeLocked(d)
	if d.saved = err == nil; err != nil && saved {
		k.log.Error("kill that is due not recorded, will retry; if this process is killed before, what is left of the command goes on", "pid", d.PID, "err", err)
	}
}

func (k *killer) writeLocked(d *due) error {
	b, err := json.Marshal(d.killRecord)
	if err != nil {
		return err
	}
	if len(b) >= killSize {
		return fmt.Errorf("record of %d bytes is too long", len(b))
	}
	line := bytes.Repeat([]byte{' '}, killSize)
	copy(line, b)
	line[killSize-1] = '\n'
	flags := os.O_WRONLY
	if d.own {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(k.file(d.Process), flags, 0o600)
	if d.own && errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(k.dir, 0o700); err == nil {
			f, err = os.OpenFile(k.file(d.Process), flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(line, 0)
	return errors.Join(err, f.Close())
}

func readKill(name string) (killRecord, error) {
	b, err := readBounded(name)
	if err != nil {
		return killRecord{}, err
	}
	r, err := parseKill(b)
	if err != nil {
		return killRecord{}, fmt.Errorf("read %s: %w", name, err)
	}
	r.Seen = min(r.Seen, sinceBoot().Milliseconds()) // who came to the number after now is never meant
	return r, nil
}

// parseKill takes the record of a kill apart.
func parseKill(b []byte) (killRecord, error) {
	var r killRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return killRecord{}, err
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case r.V != recordVersion:
		return killRecord{}, fmt.Errorf("version %d is not known", r.V)
	case !r.Process.possible():
		return killRecord{}, fmt.Errorf("no command has the number %d", r.PID)
	case r.Until < 0 || r.Until > most || r.Seen < 0 || r.Seen > most:
		return killRecord{}, fmt.Errorf("seen at %d, to be killed at %d milliseconds since the boot", r.Seen, r.Until)
	}
	return r, nil
}
