//go:build e2e

package e2e

import (
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

func TestScenes(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "udp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c, _, e := harness.Chain(t, transport, programs, programs, programs)
			harness.Scenes(t, c, e)
		})
	}
}
