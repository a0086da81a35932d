package work

// Reached tells that there is a way to nodes to which there was none, or that they
// were restarted: what waits for them is tried now and not at the end of its pause,
// which after a long silence is a minute. It returns at once, and may be called at
// any time.
func (m *Manager) Reached(nodes ...string) {
	for _, node := range nodes {
		m.peers.reached(node)
	}
}
