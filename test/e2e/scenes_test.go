//go:build e2e

package e2e

import (
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

func TestScenes(t *testing.T) {
	for _, transport := range []string{"tcp", "udp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			c, _, e := harness.Chain(t, transport, programs, programs, programs)
			harness.Scenes(t, c, e)
		})
	}
}
