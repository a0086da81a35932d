package supervise

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be what the tests need as processes of their own: the supervisor, and a daemon that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(Main(os.Args[2:], os.Stderr))
		case "daemon":
			os.Exit(testDaemon(os.Args[2:]))
		case "guard":
			os.Exit(guard(os.Args[2]))
		case "printenv": // a command that shows what it was given
			wd, _ := os.Getwd()
			fmt.Println(wd, os.Getenv("SUPERVISE_TEST"), os.Args[2:])
			os.Exit(0)
		}
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the processes above would take a second to end under the race detector
	guarded, err := startGuard()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer guarded.Close() // VerifyTestMain exits; until then it must not be collected
	goleak.VerifyTestMain(m)
}
