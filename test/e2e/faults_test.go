//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/test/harness"
)

// TestFaults makes every cell of the fault matrix happen.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		for _, p := range phases {
			o := f.cells[p.phase]
			if o.never != "" || p.phase == streamed && !streaming {
				continue
			}
			t.Run(f.name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, strings.TrimPrefix(f.name, "one node: "), f.local, p.phase == submitting)
				s.judge(o, s.play(p.phase, o))
			})
		}
	}
}

// play brings the unit into the phase, has the fault happen and mended, and lets
// the command go on. It returns how the submission ended.
func (s *scene) play(p phase, o outcome) harness.Result {
	s.t.Helper()
	if strings.HasPrefix(s.fault, "supervisor") || s.rand.IntN(2) == 0 {
		s.warm()
	}
	switch p {
	case submitting, sending, streamed:
		return s.playSubmit(p, o)
	case accepted:
		return s.playAccepted()
	}
	s.submit()
	switch p {
	case running:
		s.open("begin")
		s.wrote(true)
		s.strike()
		s.mend()
	case writing:
		s.holdOutput(s.half)
		s.open("begin")
		s.wrote(s.cable == nil)
		s.strike()
		s.mend()
	case fetching:
		wait := s.holdOutput(len(s.payload))
		s.open("begin", "go")
		wait()
		s.e.Eventually("end the unit", func() bool {
			for _, r := range s.e.Units() {
				if r.StateName == "Succeeded" {
					return true
				}
			}
			return false
		})
		s.strike()
		s.mend()
	case cancelling, releasing:
		s.playEnd(map[phase]string{cancelling: "cancel", releasing: "release"}[p])
	}
	if p == running || p == writing {
		s.open("go")
	}
	s.makeSpace()
	return harness.Result{}
}

// playSubmit is the phases before the submission has ended.
func (s *scene) playSubmit(p phase, o outcome) harness.Result {
	s.t.Helper()
	file, early := s.payloadFile(), p == submitting && s.disk != nil
	if s.cable == nil || p == streamed || p == sending && s.fault == "disk-controller" {
		file = "-"
	}
	if early {
		s.strike()
	}
	var reached <-chan struct{}
	if file != "-" && !early {
		if p == sending {
			reached = s.cable.HoldAfter(s.toE, int64(len(s.payload)/8+s.rand.IntN(len(s.payload)*3/4)))
		} else {
			s.cable.Hold() // until it is accepted here
		}
	}
	call := s.c.Begin(append(append([]string{"work", "submit", "--node", s.e.ID, "--payload", file}, streamOption(p)...), "job")...)
	sent := 0
	if file == "-" && !early {
		if p != submitting {
			sent = s.half
			call.Stdin.Write(s.payload[:sent])
		}
		s.c.Eventually("have the first part of the payload", func() bool {
			files, _ := filepath.Glob(filepath.Join(s.c.DataDir(), "*", "stdin"))
			for _, f := range files {
				if info, err := os.Stat(f); err == nil && info.Size() == int64(sent) {
					return true
				}
			}
			return false
		})
	} else if !early {
		if p == submitting {
			s.awaitAccepted()
			s.cable.Heal()
			reached = s.cable.HoldAfter(s.toE, int64(1+s.rand.IntN(3000)))
		}
		select {
		case <-reached:
		case <-call.Ended():
		case <-time.After(harness.Patience):
			s.t.Error("the submission goes nowhere")
		}
	}
	if p == streamed {
		s.c.Eventually("show the unit", func() bool {
			for id := range s.c.Units() {
				s.unit = id
			}
			return s.unit != ""
		})
		s.open("begin")
		s.wrote(true)
	}
	if !early {
		s.strike()
	}
	s.mend()
	call.Stdin.Write(s.payload[sent:]) // fails where the client has ended
	call.Stdin.Close()
	r := call.Wait()
	if o.state != refused {
		s.identify(r)
	}
	s.open("begin", "go")
	return r
}

// streamOption is what a streamed submission adds.
func streamOption(p phase) []string {
	if p == streamed {
		return []string{"--stream"}
	}
	return nil
}

// playAccepted submits while the executor cannot be reached.
func (s *scene) playAccepted() harness.Result {
	s.t.Helper()
	before := s.relay != nil || strings.HasPrefix(s.fault, "link-") || s.fault == "executor" ||
		s.fault == "supervisor+daemon" || s.fault == "node"
	if before {
		s.strike()
	} else {
		s.cable.Cut()
	}
	call := s.begin(s.payloadFile())
	s.awaitAccepted()
	if !before {
		call.Wait()
		s.strike()
	}
	s.mend()
	r := call.Wait()
	s.identify(r)
	s.open("begin", "go")
	s.makeSpace()
	return r
}

// awaitAccepted waits until the controller has all of the submission, whatever its
// client knows.
func (s *scene) awaitAccepted() {
	s.t.Helper()
	s.c.Eventually("accept the unit", func() bool {
		for _, r := range s.c.Units() {
			if r.Detail != "Waiting for Input Data" && r.Detail != "Unit Created" {
				return true
			}
		}
		return false
	})
}

// playEnd cancels or releases the unit while it runs. The order comes before the
// fault, and is being carried out, or after it.
func (s *scene) playEnd(order string) {
	s.t.Helper()
	s.open("begin")
	s.wrote(true)
	if strings.HasPrefix(s.fault, "link-") && s.rand.IntN(2) == 0 {
		s.strike()
		call := s.c.Begin("work", order, s.unit)
		s.mend()
		s.open("leave")
		call.Wait()
		return
	}
	call := s.c.Begin("work", order, s.unit)
	s.e.Eventually("interrupt the command", func() bool { return s.lines("interrupts") > 0 })
	s.strike()
	s.mend()
	s.open("leave")
	call.Wait()
}

// holdOutput holds the cable in the middle of so many bytes of output. What it
// returns waits for that.
func (s *scene) holdOutput(size int) func() {
	if s.cable == nil {
		return func() {}
	}
	reached := s.cable.HoldAfter(s.toC, int64(size/8+s.rand.IntN(size*3/4)))
	return func() { s.t.Helper(); s.cable.WaitHeld(reached) }
}

// makeSpace frees the controller's disk, after that has done harm.
func (s *scene) makeSpace() {
	s.t.Helper()
	if s.fault != "disk-controller" {
		return
	}
	s.c.Eventually("meet the full disk", func() bool {
		r, known := s.c.Unit(s.unit)
		return !known || r.State > 1 || s.c.Logged("no space left")
	})
	s.disk.Free()
}

// judge holds what became of the unit against the cell.
func (s *scene) judge(o outcome, submitted harness.Result) {
	s.t.Helper()
	switch o.state {
	case refused:
		if submitted.Code == 0 || !matches(submitted.Stderr, o.detail) {
			s.t.Errorf("submit: %+v, want a refusal %q", submitted, o.detail)
		}
		for id := range s.c.Units() {
			s.unit = id
		}
		s.release()
	case released:
		s.gone()
	default:
		if s.unit == "" && strings.HasSuffix(o.state, " or nothing") {
			break
		}
		r := s.await("end the unit", func(r harness.Record) bool { return r.State > 1 })
		if !strings.Contains(o.state, r.StateName) || !matches(r.Detail, o.detail) {
			s.t.Errorf("the unit is %s, %q; want %s, %q", r.StateName, r.Detail, o.state, o.detail)
		}
		s.judgeOutput(o, r)
		if r.StateName == "Succeeded" && o.runs != "0" {
			o.runs = "1"
		}
		s.release()
	}
	if n := s.lines("runs"); !strings.Contains(o.runs, string(rune('0'+n))) {
		s.t.Errorf("the command ran %d times, want %s", n, o.runs)
	}
	for _, n := range []*harness.Node{s.c, s.e, s.relay} {
		if n != nil && !n.Alive() {
			s.t.Errorf("the daemon %s has ended", n.ID)
		}
	}
}

// judgeOutput compares the output with what the command wrote.
func (s *scene) judgeOutput(o outcome, r harness.Record) {
	s.t.Helper()
	results := s.c.Try("work", "results", s.unit)
	if ok := results.Code == 0; ok != (r.StateName == "Succeeded") {
		s.t.Errorf("results of a unit %s: code %d, %s", r.StateName, results.Code, results.Stderr)
	}
	wrote := s.written()
	want := string(s.payload)
	switch {
	case o.output == "none":
		want = ""
	case o.output == "start" && r.StateName != "Succeeded":
		if !strings.HasPrefix(want, wrote) || o.runs == "1" && len(wrote) < s.half {
			s.t.Errorf("the command wrote %d bytes, which are not those of its input", len(wrote))
		}
		want = wrote
	}
	if results.Stdout != want || r.StdoutSize != len(want) {
		s.t.Errorf("results of %d bytes, StdoutSize %d; want %d bytes", len(results.Stdout), r.StdoutSize, len(want))
	}
}

// written is the output as it is on the executor.
func (s *scene) written() string {
	files, _ := filepath.Glob(filepath.Join(s.e.DataDir(), "*", "stdout"))
	if len(files) == 0 {
		return ""
	}
	if len(files) > 1 {
		s.t.Errorf("one submission, output in %v", files)
	}
	data, _ := os.ReadFile(files[0])
	return string(data)
}

func (s *scene) release() {
	s.t.Helper()
	if s.unit != "" {
		s.c.Run("work", "release", s.unit)
	}
	s.gone()
}

// gone waits until nothing is left of the unit: no record, no file, no process.
func (s *scene) gone() {
	s.t.Helper()
	for _, n := range []*harness.Node{s.c, s.e} {
		var units, files []string
		for deadline := time.Now().Add(harness.Patience); ; time.Sleep(20 * time.Millisecond) {
			units = nil
			for id := range n.Units() {
				units = append(units, id)
			}
			files, _ = filepath.Glob(filepath.Join(n.DataDir(), "*"))
			files = slices.DeleteFunc(files, func(f string) bool { return filepath.Base(f) == ".supervisor" || filepath.Base(f) == ".released" })
			if len(units)+len(files)+len(n.Commands()) == 0 {
				break
			}
			if time.Now().After(deadline) {
				s.t.Errorf("left on %s: units %v, files %v, processes %v", n.ID, units, files, n.Commands())
				break
			}
		}
	}
}

// matches compares a text with patterns of the table.
func matches(text, patterns string) bool {
	for p := range strings.SplitSeq(patterns, " or ") {
		p = strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*")
		if regexp.MustCompile(`(?s)\A` + p + `\z`).MatchString(text) {
			return true
		}
	}
	return false
}
