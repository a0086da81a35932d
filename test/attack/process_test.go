//go:build attack

package attack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The attackers are another process, which gives way to the daemon as one on
// another machine would: what is measured is the daemon, not how two processes
// share two cores.
const (
	roleVariable = "ATTACK_TARGET" // the target's address, in JSON, in the environment of that process
	giveWay      = 15              // nice
)

// address is where the target listens.
type address struct {
	TCP, UDP, WS, Control, Metrics, Proxy, Socket string
	TLS, WSS, ControlTLS                          string // links over TLS and secure WebSockets, the control service over TLS
	Echo                                          string // where the target's way out leads: the attackers listen there
	Unit                                          string
}

// attackProcess is that process as the test sees it.
type attackProcess struct {
	t     *testing.T
	proc  *exec.Cmd
	in    io.WriteCloser
	ended chan string // names of attacks that have ended; closed with the process's output
}

func startAttackers(t *testing.T, s *scene) *attackProcess {
	where, err := json.Marshal(s.where)
	if err != nil {
		t.Fatal(err)
	}
	p := &attackProcess{t: t, proc: exec.Command(os.Args[0]), ended: make(chan string, 100)}
	p.proc.Env = append(os.Environ(), roleVariable+"="+string(where))
	p.proc.Stderr = os.Stderr
	p.in, err = p.proc.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.proc.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.proc.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.ended <- lines.Text()
		}
	}()
	t.Cleanup(p.stop)
	return p
}

// run has an attack run for some time.
func (p *attackProcess) run(name string, seed uint64, length time.Duration) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, name, seed, length); err != nil {
		p.t.Fatalf("tell the attackers: %v", err)
	}
}

// wait waits until attacks have ended, in any order.
func (p *attackProcess) wait(names []string) {
	p.t.Helper()
	late := time.After(2 * time.Minute)
	for left := slices.Clone(names); len(left) > 0; {
		select {
		case name, ok := <-p.ended:
			if !ok {
				p.t.Fatalf("the attackers have ended during %v", left)
			}
			left = slices.DeleteFunc(left, func(n string) bool { return n == name })
		case <-late:
			p.t.Fatalf("the attackers do not end: %v", left)
		}
	}
}

// stop ends the process, which drops whatever it had open.
func (p *attackProcess) stop() {
	p.in.Close()
	p.proc.Process.Kill()
	for range p.ended {
	}
	p.proc.Wait()
}

// attackers is the main function of that process.
func attackers(in io.Reader, out io.Writer) int {
	var where address
	if err := json.Unmarshal([]byte(os.Getenv(roleVariable)), &where); err != nil {
		fmt.Fprintln(os.Stderr, roleVariable, err)
		return 1
	}
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads { // those made later inherit it
		var id int
		fmt.Sscan(thread.Name(), &id)
		syscall.Setpriority(syscall.PRIO_PROCESS, id, giveWay)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var mu sync.Mutex // of out
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var name, text string
		var seed uint64
		fmt.Sscan(lines.Text(), &name, &seed, &text)
		length, err := time.ParseDuration(text)
		i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
		if err != nil || i < 0 {
			fmt.Fprintf(os.Stderr, "bad order %q\n", lines.Text())
			return 1
		}
		running.Go(func() { // ends when its time is over
			x := &attacker{where: where, seed: seed, name: name}
			var stop context.CancelFunc
			x.ctx, stop = context.WithTimeout(ctx, length)
			defer stop()
			attacks[i].run(x)
			x.all.Wait()
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(out, name)
		})
	}
	return 0
}

// attack is one kind of hostile input.
type attack struct {
	name string
	run  func(x *attacker) // starts it; what it starts ends with x.ctx
}

// attacker is one run of an attack.
type attacker struct {
	where address
	seed  uint64
	name  string
	ctx   context.Context
	all   sync.WaitGroup
}

// crowd calls f over and over in each of n goroutines, until the time is over. f
// gets a source of its own, so that what each does depends on the seed alone.
func (x *attacker) crowd(n int, f func(r *rand.Rand)) {
	for i := range n {
		r := rand.New(rand.NewPCG(x.seed, uint64(i)))
		x.all.Go(func() {
			for x.ctx.Err() == nil {
				f(r)
			}
		})
	}
}

// pause waits, but not longer than the attack lasts.
func (x *attacker) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-x.ctx.Done():
	}
}
