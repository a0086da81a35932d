package work

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/receptor-go/receptor/internal/controlproto"
	"github.com/receptor-go/receptor/internal/work/supervise"
)

// A daemon that ends while the supervisor has prepared a start and not begun it: the next one has it begun, or not if the
// unit is canceled. It once took the record for a damaged one.
func TestStartThatWasOnlyPrepared(t *testing.T) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{false, true} { // to the supervisor, which is about to begin
		for _, cancel := range []bool{false, true} {
			t.Run(fmt.Sprintf("known %t, canceled %t", known, cancel), func(t *testing.T) {
				n, sup := newNode(t, "solo", func(c *Config) { c.Logger = nil })
				prepared := make(chan supervise.Job, 1)
				sup.Before = func(j supervise.Job) error {
					line := fmt.Appendf(nil, `{"v":1,"state":"claimed","in":"%s"}`+"\n", strings.TrimSpace(string(boot)))
					if err := os.WriteFile(filepath.Join(j.UnitDir, fileProcess), line, 0o600); err != nil {
						t.Error(err)
					}
					select {
					case prepared <- j:
					default:
					}
					return errors.New("the daemon ends here")
				}
				id := n.mustSubmit("cat", "", "payload")
				j := <-prepared
				n.stop()
				sup.Before = nil
				if known {
					j.Command = "sleep"
					if _, err := sup.Start(context.Background(), j); err != nil {
						t.Fatal(err)
					}
				}
				if cancel {
					if err := n.m.store.mark(id, fileCancel); err != nil {
						t.Fatal(err)
					}
				}
				n.start()
				want, starts := controlproto.Succeeded, 1
				switch {
				case cancel && known:
					want = controlproto.StateCanceled
				case cancel:
					want, starts = controlproto.StateCanceled, 0
				case known:
					want = controlproto.Running
				}
				n.await(id, want)
				if got := sup.Starts(id); got != starts {
					t.Errorf("started %d times, want %d", got, starts)
				}
			})
		}
	}
}
