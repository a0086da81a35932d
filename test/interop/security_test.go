//go:build interop

package interop

import (
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

// TestSecurity puts the peer into each role of the scene of security.
func TestSecurity(t *testing.T) {
	for _, role := range []string{"controller01", "controller02", "controller03", "controller04", "relayer01", "executor01", "executor02", "executor03"} {
		t.Run("peer is "+role, func(t *testing.T) {
			t.Parallel()
			theirs := peer(t)
			harness.Security(t, harness.NewSecurity(t, ours, func(id string) harness.Programs {
				if id == role {
					return theirs
				}
				return ours
			}))
		})
	}
}
