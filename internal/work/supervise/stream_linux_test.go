package supervise

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// input is the standard input of a streamed unit, that grows.
type input struct {
	t    testing.TB
	dir  string
	f    *os.File
	all  []byte // written so far
	rand *rand.Rand
}

func newInput(t testing.TB, dir string) *input {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, stdinName), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &input{t: t, dir: dir, f: f, rand: rand.New(rand.NewPCG(1, 2))}
}

// write appends size bytes in pieces of all sizes.
func (i *input) write(size int) {
	i.t.Helper()
	for size > 0 {
		b := make([]byte, min(size, 1+i.rand.IntN(100_000)))
		for k := range b {
			b[k] = byte(i.rand.Uint32())
		}
		if _, err := i.f.Write(b); err != nil {
			i.t.Fatal(err)
		}
		i.all = append(i.all, b...)
		size -= len(b)
	}
}

// end says that this was all, or what text says.
func (i *input) end(text ...string) {
	i.t.Helper()
	b := fmt.Sprintf("%d\n", len(i.all))
	if len(text) > 0 {
		b = text[0]
	}
	name := filepath.Join(i.dir, stdinEndName)
	if err := os.WriteFile(name+".new", []byte(b), 0o600); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		i.t.Fatal(err)
	}
}

func (n *node) streamed(name, script string) (Job, *input) {
	n.t.Helper()
	j := n.shell(name, script)
	j.Stream = true
	return j, newInput(n.t, j.UnitDir)
}

func feederOf(t testing.TB, dir string) Process {
	t.Helper()
	h, err := readHistory(dir)
	if err != nil || h.feeder == nil {
		t.Fatalf("no feeder recorded: %+v, %v", h, err)
	}
	return *h.feeder
}

func wantFed(t testing.TB, dir string, want fed) {
	t.Helper()
	h, err := readHistory(dir)
	if err != nil || h.fed == nil || *h.fed != want {
		t.Errorf("fed %+v, %v, want %+v", h.fed, err, want)
	}
}

func wantSame(t testing.TB, got string, want []byte) {
	t.Helper()
	if got != string(want) {
		t.Errorf("output of %d bytes (sha256 %x), want %d (%x)", len(got), sha256.Sum256([]byte(got)), len(want), sha256.Sum256(want))
	}
}

func TestStream(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	t.Run("grows", func(t *testing.T) {
		j, in := n.streamed("grows", "cat; exit 3")
		d.start(j)
		for range 20 {
			in.write(1 + in.rand.IntN(300_000))
			eventually(t, "what was written is read", func() bool { return len(n.output("grows")) == len(in.all) })
		}
		in.end()
		wantExit(t, d.exit("grows"), exited(3))
		wantSame(t, n.output("grows"), in.all)
		wantFed(t, j.UnitDir, fed{Bytes: int64(len(in.all)), How: fedAll})
	})
	t.Run("complete", func(t *testing.T) {
		j, in := n.streamed("complete", "sleep 0.1; cat")
		in.write(3 << 20)
		in.end()
		d.start(j)
		wantExit(t, d.exit("complete"), exited(0))
		wantSame(t, n.output("complete"), in.all)
	})
	t.Run("empty", func(t *testing.T) {
		j, in := n.streamed("empty", "cat; echo end")
		d.start(j)
		in.end()
		wantExit(t, d.exit("empty"), exited(0))
		wantSame(t, n.output("empty"), []byte("end\n"))
	})
	t.Run("closes", func(t *testing.T) {
		j, in := n.streamed("closes", "head -c 10; exec <&-; while [ ! -e go ]; do sleep 0.01; done; exit 0")
		j.Args[1] = "cd " + j.UnitDir + "; " + j.Args[1]
		d.start(j)
		in.write(1 << 20)
		feeder := feederOf(t, j.UnitDir)
		eventually(t, "feeder notices that nobody reads", func() bool { return !feeder.Alive() })
		if err := os.WriteFile(filepath.Join(j.UnitDir, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantExit(t, d.exit("closes"), exited(0))
		h, _ := readHistory(j.UnitDir)
		if h.fed == nil || h.fed.How != fedClosed || h.fed.Bytes < 10 || h.fed.Bytes > int64(len(in.all)) {
			t.Errorf("fed %+v", h.fed)
		}
	})
	t.Run("ends", func(t *testing.T) { // while its input is still open
		j, in := n.streamed("ends", "head -c 5; exit 0")
		in.write(5)
		d.start(j)
		wantExit(t, d.exit("ends"), exited(0))
		wantFed(t, j.UnitDir, fed{Bytes: 5, How: fedClosed})
		feeder := feederOf(t, j.UnitDir)
		eventually(t, "feeder is gone", func() bool { _, err := readStat(feeder.PID); return err != nil })
	})
	t.Run("stopped", func(t *testing.T) {
		j, in := n.streamed("stopped", "exec sleep 1000")
		in.write(1 << 20)
		d.start(j)
		if err := d.Stop(t.Context(), "stopped", time.Minute); err != nil {
			t.Fatal(err)
		}
		wantExit(t, d.exit("stopped"), bySignal("interrupt"))
		if feeder := feederOf(t, j.UnitDir); feeder.Alive() {
			t.Error("the feeder is alive after the end of its command was told")
		}
	})
	t.Run("leaves a reader", func(t *testing.T) { // which is not fed, and holds up nobody
		j, in := n.streamed("leaves", "setsid sh -c 'cat; echo over' <&0 & exit 0")
		in.write(100)
		d.start(j)
		wantExit(t, d.exit("leaves"), exited(0))
		eventually(t, "what it left reads the end", func() bool { return strings.HasSuffix(n.output("leaves"), "over\n") })
	})
	t.Run("not started", func(t *testing.T) {
		j, _ := n.streamed("none", "")
		j.Command = n.dir + "/absent"
		if _, err := d.Start(t.Context(), j); err == nil {
			t.Fatal("started")
		}
		j, _ = n.streamed("directory", "")
		j.Command = "/" // found out by exec only
		if _, err := d.Start(t.Context(), j); err == nil {
			t.Fatal("started")
		}
		feeder := feederOf(t, j.UnitDir)
		eventually(t, "feeder is gone", func() bool { _, err := readStat(feeder.PID); return err != nil })
	})
}

// An input that cannot be fed to its end is not taken for a complete one.
func TestStreamBreaksOff(t *testing.T) {
	for _, tt := range []struct{ name, end, want string }{
		{"garbage", "12x\n", `its input broke off: it got 1000 of the 1000 bytes that had come: stdin.end does not hold a size: "12x\n"; exit status 0`},
		{"cut", "100", `its input broke off: it got 1000 of the 1000 bytes that had come: stdin.end does not hold a size: "100"; exit status 0`},
		{"less", "10\n", "its input broke off: it got 1000 of 10 bytes: stdin.end says 10 bytes, and 1000 were there before; exit status 0"},
		{"more", "2000\n", "its input broke off: it got 1000 of 2000 bytes: stdin has 1000 bytes, stdin.end says 2000; exit status 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			d := n.daemon()
			j, in := n.streamed("u", "cat")
			d.start(j)
			in.write(1000)
			eventually(t, "input is read", func() bool { return len(n.output("u")) == 1000 })
			in.end(tt.end)
			e := d.exit("u")
			if e.Succeeded() || e.Detail != tt.want || e.Trouble+"; exit status 0" != tt.want || e.Code != 0 || !e.Known {
				t.Errorf("exit %+v, want %q", e, tt.want)
			}
			if r, err := ReadExit(j.UnitDir); err != nil || r.Trouble != e.Trouble || r.Detail != e.Detail {
				t.Errorf("recorded %+v, %v", r, err)
			}
		})
	}
}

// Whoever is killed while input is fed, the command gets all of it, and nothing else.
func TestStreamSurvives(t *testing.T) {
	type scene struct {
		n    *node
		f    *foreignDaemon // daemon, if it is a process of its own
		unit string         // its directory
	}
	killSupervisor := func(t *testing.T, s scene) {
		pid := s.n.supervisor()
		kill(t, pid, unix.SIGKILL)
		eventually(t, "supervisor is gone", func() bool { p, err := readStat(pid); return err != nil || p.ended() })
	}
	killFeeder := func(t *testing.T, s scene) {
		for range 3 {
			p := feederOf(t, s.unit)
			kill(t, p.PID, unix.SIGKILL)
			eventually(t, "another feeder is there", func() bool { return feederOf(t, s.unit) != p })
		}
	}
	for _, tt := range []struct {
		name    string
		foreign bool // the first daemon is killed
		death   func(t *testing.T, s scene)
		unknown bool // the exit status may not be known
	}{
		{name: "daemon", foreign: true, death: func(_ *testing.T, s scene) { s.f.kill() }},
		{name: "supervisor", death: killSupervisor},
		{name: "both", foreign: true, unknown: true, death: func(t *testing.T, s scene) {
			pid := s.n.supervisor()
			s.f.kill()
			kill(t, pid, unix.SIGKILL)
			eventually(t, "supervisor is gone", s.n.free)
		}},
		{name: "feeder", death: killFeeder},
		{name: "feeder and daemon", foreign: true, death: func(t *testing.T, s scene) { s.f.kill(); killFeeder(t, s) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.idle = 5 * time.Second
			j, in := n.streamed("u", "cat; exit 7")
			s := scene{n: n, unit: j.UnitDir}
			var d *daemon
			if tt.foreign {
				setSubreaper(t, 0)
				s.f = n.startForeign(j)
			} else {
				d = n.daemon()
				d.start(j)
			}
			in.write(2 << 20)
			stop := make(chan struct{})
			written := make(chan struct{})
			go func() { // until stop: the death comes while bytes flow
				defer close(written)
				for {
					select {
					case <-stop:
						return
					default:
						if len(in.all) < 16<<20 {
							in.write(1000)
						}
					}
				}
			}()
			eventually(t, "bytes flow", func() bool { return len(n.output("u")) > 1<<20 })
			tt.death(t, s)
			close(stop)
			<-written
			if tt.foreign {
				d = n.daemon()
				if err := d.Adopt("u", j.UnitDir); err != nil {
					t.Fatal(err)
				}
				d.running("u")
			}
			in.write(2 << 20)
			eventually(t, "all is read", func() bool { return len(n.output("u")) == len(in.all) })
			in.end()
			e := d.exit("u")
			if tt.unknown && !e.Known {
				wantExit(t, e, Exit{Code: -1, Started: true, Detail: detailUnseen})
			} else {
				wantExit(t, e, exited(7))
			}
			wantSame(t, n.output("u"), in.all)
			wantFed(t, j.UnitDir, fed{Bytes: int64(len(in.all)), How: fedAll})
			d.stop()
		})
	}
}

// Supervisor and feeder are killed: nobody holds the pipe any more. The command sees an end, and its exit with 0 is no success.
func TestStreamLosesFeeder(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	j, in := n.streamed("u", "cat; read x <"+fifo(t, n.dir)+"; exit 0")
	d.start(j)
	in.write(1000)
	eventually(t, "input is read", func() bool { return len(n.output("u")) == 1000 })
	feeder := feederOf(t, j.UnitDir)
	pid := n.supervisor()
	kill(t, pid, unix.SIGKILL)
	eventually(t, "supervisor is gone", func() bool { p, err := readStat(pid); return err != nil || p.ended() })
	kill(t, feeder.PID, unix.SIGKILL)
	openFifo(t, n.dir)
	e := d.exit("u")
	const trouble = "its input broke off: it got an unknown part of the 1000 bytes that had come: the process that fed it is gone"
	wantExit(t, e, Exit{Started: true, Known: true, Trouble: trouble, Detail: trouble + "; exit status 0"})
	if e.Succeeded() {
		t.Error("success")
	}
}

// The supervisor is killed when the command has ended and its feeder has not: the next one gives the verdict.
func TestStreamJudgedByTheNext(t *testing.T) {
	n := newNode(t)
	for _, tt := range []struct {
		name string
		fed  *fed
		want string
	}{
		{"fed", &fed{Bytes: 4, How: fedAll}, "exit status 0"},
		{"closed", &fed{Bytes: 3, How: fedClosed}, "exit status 0"},
		{"broken", &fed{Bytes: 3, How: fedBroken, Cause: "because"}, "its input broke off: it got 3 of 4 bytes: because; exit status 0"},
		{"lost", nil, "its input broke off: it got an unknown part of 4 bytes: the process that fed it is gone; exit status 0"},
	} {
		dir := n.unit(tt.name, "four")
		newInput(t, dir).end("4\n")
		rec, err := claim(dir)
		if err != nil {
			t.Fatal(err)
		}
		gone := Process{PID: 1 << 22, StartTime: 1, Boot: bootID()}
		for _, err := range []error{rec.starting(terms{Stream: true}), rec.feeding(gone), rec.started(gone)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		rec.close()
		if tt.fed != nil {
			if err := addFed(dir, *tt.fed); err != nil {
				t.Fatal(err)
			}
		}
		if err := addExited(dir, Exit{Started: true, Known: true, Detail: "exit status 0", Ended: time.Now()}); err != nil {
			t.Fatal(err)
		}
		d := n.daemon()
		if err := d.Adopt(tt.name, dir); err != nil {
			t.Fatal(err)
		}
		e := d.exit(tt.name)
		if e.Detail != tt.want || e.Succeeded() != (e.Trouble == "") || e.Succeeded() != (tt.want == "exit status 0") {
			t.Errorf("%s: %+v, want %q", tt.name, e, tt.want)
		}
		if r, err := ReadExit(dir); err != nil || r.Detail != tt.want {
			t.Errorf("%s: recorded %+v, %v", tt.name, r, err)
		}
		d.stop()
	}
}

// The streamed command's own surroundings: a pipe that blocks, and nothing else.
func TestStreamSurroundings(t *testing.T) {
	n := newNode(t)
	d := n.daemon()
	j, in := n.streamed("u", `ls /proc/self/fd | wc -l; grep flags /proc/self/fdinfo/0; cat`)
	j.Stderr = true
	d.start(j)
	in.end()
	wantExit(t, d.exit("u"), exited(0))
	if got := n.output("u"); got != "4\nflags:\t00\n" {
		t.Errorf("output %q", got)
	}
}
