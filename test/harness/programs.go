package harness

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
)

// Programs are the binaries under test.
type Programs struct {
	Receptor, Receptorctl string
}

// Build compiles both programs into a temporary directory, runs the tests of
// m with them, and returns the exit code. For TestMain.
func Build(m *testing.M, programs *Programs) int {
	dir, err := os.MkdirTemp("", "receptor-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator),
		"github.com/receptor-go/receptor/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	programs.Receptor = filepath.Join(dir, "receptor")
	programs.Receptorctl = filepath.Join(dir, "receptorctl")
	// A shell that starts the tests in the background has them ignore interrupts,
	// which every process below would inherit: no command could be interrupted.
	if signal.Ignored(os.Interrupt) {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	return m.Run()
}
