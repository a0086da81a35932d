package work

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// Python says which function of a plugin a work type runs, in place of a program
// of its own (spec work 6).
type Python struct {
	Plugin   string // entry point of the group receptor.worker, or a module
	Function string // that carries the attribute receptor_export
	// Config is what the function gets, together with a member `params`, which is
	// empty. It must be what JSON can say.
	Config map[string]any
}

// interpreter is the program that runs plugins, looked up in PATH.
const interpreter = "python3"

//go:embed runner.py
var pythonRunner string

// maxOutcome is how many bytes of an outcome are read.
const maxOutcome = 4 << 10

// outcomeComplete is the outcome of a function that has returned.
const outcomeComplete = "Complete"

// job writes down for the runner what it is to do, and gives its program and
// arguments. The configuration may hold secrets, which do not belong there.
func (p *Python) job(s *store, id string) (args []string, err error) {
	config := map[string]any{}
	for k, v := range p.Config {
		config[k] = v
	}
	config["params"] = ""
	b, err := json.Marshal(struct {
		Plugin   string         `json:"plugin"`
		Function string         `json:"function"`
		Config   map[string]any `json:"config"`
	}{p.Plugin, p.Function, config})
	if err != nil {
		return nil, err
	}
	if err := s.write(s.path(id, filePython), b); err != nil {
		return nil, err
	}
	return []string{"-c", pythonRunner, s.path(id)}, nil
}

// outcome is the Detail that the runner of a plugin has left for the end e; empty
// if there is none, or the end was another one than it knows of.
func (m *Manager) outcome(id string, e *supervise.Exit) string {
	if !e.Known || e.Trouble != "" {
		return ""
	}
	b, err := m.store.read(id, fileOutcome, maxOutcome)
	if err != nil {
		return ""
	}
	text := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(b), "?"), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if e.Succeeded() != (text == outcomeComplete) {
		return ""
	}
	return text
}

// notStarted is the end of a command that could not be started.
func (t *Command) notStarted(detail string) change {
	if t.Python != nil {
		detail = "Error starting Python worker: " + detail + " (work-python needs " + interpreter + " in the PATH of the daemon)"
	}
	return failed(detail)
}
