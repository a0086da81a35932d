//go:build e2e

package e2e

import (
	"testing"

	"github.com/receptor-go/receptor/test/harness"
)

func TestIPRouter(t *testing.T) { harness.IPRouter(t, programs, programs) }

func TestIPRouterReload(t *testing.T) { harness.IPRouterReload(t, programs) }
