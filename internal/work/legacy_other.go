//go:build !linux

package work

// Whether a process is the original's runner of a unit can be told on Linux only;
// elsewhere such units end as Failed at the start.

func isLegacyRunner(int, string) bool { return false }

func (m *Manager) watchLegacy(*unit, int) {}

func (m *Manager) stopLegacy(*unit, int) {}
