package e2e

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The fault matrix: what dies, in which phase of a unit, and what an operator
// sees then. TestFaults makes every cell happen; docs/faults.md shows the same
// table. This is its only source.

// streaming switches the column of streamed payloads on.
const streaming = true

// phase is where in its life a unit is when something dies.
type phase int

const (
	submitting phase = iota
	sending
	accepted
	running
	writing
	fetching
	cancelling
	releasing
	streamed
)

// phases are the columns, in the words of the document.
var phases = []struct {
	phase
	name, text string
}{
	{submitting, "submitting", "the submission is under way, its id has not come back"},
	{sending, "payload", "in the middle of the payload"},
	{accepted, "accepted", "accepted, not running: its node cannot be reached"},
	{running, "running", "the command runs, no output flows"},
	{writing, "output", "in the middle of the output"},
	{fetching, "ended", "the command has ended, its output is not all here"},
	{cancelling, "cancel", "a cancel is under way"},
	{releasing, "release", "a release is under way"},
	{streamed, "streaming", "in the middle of a streamed payload, which the command reads already"},
}

// outcome is one cell.
type outcome struct {
	never  string // why it cannot occur; the rest is empty then
	state  string // final state, alternatives with " or "; or released, or refused
	detail string // of the unit, or of the refusal; * stands for anything
	output string // whole: byte for byte; start: all that the command wrote; none
	runs   string // how often the command runs
}

// final is the end of a unit that was released, and of one that was refused.
const (
	released = "released"
	refused  = "refused"
)

var (
	complete = outcome{state: "Succeeded", detail: "exit status 0", output: "whole", runs: "1"}
	canceled = outcome{state: "Canceled", detail: "*", output: "start", runs: "1"}
	gone     = outcome{state: released, runs: "1"}
	killed   = outcome{state: "Failed", detail: "signal: killed", output: "start", runs: "1"}
	lost     = outcome{state: "Failed", detail: "signal: killed or the command ended while nothing watched it; its exit status is not known", output: "start", runs: "1"}
	noSpace  = outcome{state: "Failed", detail: "*no space left on device*", output: "none", runs: "0"}
	ownFault = outcome{state: "Failed", detail: "exit status 7 (the disk that holds its output is full)", output: "start", runs: "1"}
	notTaken = outcome{state: refused, detail: "*no space left on device*", runs: "0"}
	brokeOff = outcome{state: "Failed or nothing", detail: "Pending at restart", output: "none", runs: "0"}
	// The rest of a streamed payload never comes.
	unfed     = outcome{state: "Failed", detail: "Error reading input data: *", output: "start", runs: "1"}
	unfedDisk = outcome{state: "Failed", detail: "Error reading input data: *no space left on device*", output: "start", runs: "1"}
	noRoute   = outcome{never: "a unit of the node itself waits for no other"}
	noProc    = outcome{never: "there is no command yet"}
	noMore    = outcome{never: "the command has ended"}
)

// atStart is a unit whose command may or may not have begun when what starts it
// died. One that may have begun is not started again.
var atStart = outcome{state: "Succeeded or Failed", detail: "exit status 0 or signal: killed or * not known*", output: "start", runs: "0 or 1"}

// unwatched is a command that outlives all that watched it: its exit is known
// where the system tells it to others than the parent (Linux 6.15).
var unwatched = outcome{state: "Succeeded or Failed", detail: "exit status 0 or * not known*", output: "whole", runs: "1"}

// faults are the rows.
var faults = []struct {
	name, text string
	local      bool // unit and command are on one node
	cells      map[phase]outcome
}{
	{name: "link-silent", text: "the link loses everything and nobody is told; it heals after some seconds", cells: all(nil)},
	{name: "link-closed", text: "the link breaks; it heals at once, and is dialled again after 5 s", cells: all(nil)},
	{name: "relay", text: "the only relay is killed, and started again", cells: all(nil)},
	{name: "controller", text: "the submitter's daemon is killed, and started again. The client that submits gets an error; `work list` shows the unit", cells: all(map[phase]outcome{streamed: unfed})},
	{name: "executor", text: "the executor's daemon is killed, and started again", cells: all(nil)},
	{name: "supervisor", text: "the executor's supervisor is killed", cells: all(map[phase]outcome{submitting: atStart})},
	{name: "supervisor+daemon", text: "both are killed, commands live; the daemon is started again",
		cells: all(map[phase]outcome{submitting: atStart, running: unwatched, writing: unwatched, streamed: unwatched})},
	{name: "command", text: "the command is killed by somebody", cells: all(map[phase]outcome{
		submitting: noProc, sending: noProc, accepted: noProc, running: killed, writing: killed, fetching: noMore, streamed: killed,
	})},
	{name: "node", text: "everything on the executor is killed, and the daemon started again", cells: all(map[phase]outcome{
		submitting: atStart, running: lost, writing: lost, streamed: lost,
	})},
	{name: "disk-executor", text: "the executor's disk is full", cells: all(map[phase]outcome{
		submitting: noSpace, sending: noSpace, accepted: noSpace, running: ownFault, writing: ownFault, streamed: unfedDisk,
	})},
	{name: "disk-controller", text: "the submitter's disk is full; later there is space again", cells: all(map[phase]outcome{
		submitting: notTaken, sending: notTaken, streamed: unfedDisk,
	})},
	{name: "one node: daemon", text: "the daemon is killed, and started again. A client that submits gets an error", local: true,
		cells: all(map[phase]outcome{submitting: brokeOff, sending: brokeOff, accepted: noRoute, streamed: unfed})},
	{name: "one node: supervisor", text: "the supervisor is killed", local: true, cells: all(map[phase]outcome{accepted: noRoute})},
	{name: "one node: supervisor+daemon", text: "both are killed, commands live; the daemon is started again", local: true,
		cells: all(map[phase]outcome{submitting: brokeOff, sending: brokeOff, accepted: noRoute, running: unwatched, writing: unwatched, streamed: unfed})},
	{name: "one node: command", text: "the command is killed by somebody", local: true, cells: all(map[phase]outcome{
		submitting: noProc, sending: noProc, accepted: noRoute, running: killed, writing: killed, fetching: noMore, streamed: killed,
	})},
	{name: "one node: everything", text: "everything is killed, and the daemon started again", local: true, cells: all(map[phase]outcome{
		submitting: brokeOff, sending: brokeOff, accepted: noRoute, running: lost, writing: lost,
		streamed: unfed,
	})},
	{name: "one node: disk", text: "the disk is full", local: true, cells: all(map[phase]outcome{
		submitting: notTaken, sending: notTaken, accepted: noRoute, running: ownFault, writing: ownFault, streamed: unfedDisk,
	})},
}

// all are the cells of a row: the usual ones, but for the exceptions.
func all(exceptions map[phase]outcome) map[phase]outcome {
	cells := map[phase]outcome{
		submitting: complete, sending: complete, accepted: complete, running: complete, writing: complete, fetching: complete,
		cancelling: canceled, releasing: gone, streamed: complete,
	}
	for p, o := range exceptions {
		cells[p] = o
	}
	return cells
}

// table is the matrix as the document has it.
func table() string {
	var b strings.Builder
	for _, f := range faults {
		fmt.Fprintf(&b, "### %s\n\n%s.\n\n| when | state | `Detail` | output | runs |\n|---|---|---|---|---|\n", f.name, strings.ToUpper(f.text[:1])+f.text[1:])
		for _, p := range phases {
			if p.phase == streamed && !streaming {
				continue
			}
			o := f.cells[p.phase]
			if o.never != "" {
				fmt.Fprintf(&b, "| %s | | cannot occur: %s | | |\n", p.name, o.never)
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", p.name, o.state, strings.ReplaceAll(o.detail, "*", "…"), o.output, o.runs)
		}
		b.WriteString("\n")
	}
	return b.String()
}

var update = flag.Bool("update", false, "write the table into docs/faults.md")

// TestFaultsDocument holds that docs/faults.md has the cells that TestFaults
// makes happen.
func TestFaultsDocument(t *testing.T) {
	const file, begin, end = "../../docs/faults.md", "<!-- matrix: from test/e2e/faults_table_test.go -->\n\n", "<!-- end of the matrix -->\n"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the marks around the table", file)
	}
	if old == table() {
		return
	}
	if !*update {
		t.Fatalf("%s has another table: go test ./test/e2e -run TestFaultsDocument -update", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+table()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
