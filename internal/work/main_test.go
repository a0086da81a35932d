package work

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/receptor-go/receptor/internal/work/supervise"
)

// TestMain lets the test binary be the supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(supervise.Main(os.Args[2:], os.Stderr))
	}
	goleak.VerifyTestMain(m)
}
