//go:build interop

package interop

import (
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

func TestIPRouter(t *testing.T) { ends(t, harness.IPRouter) }
