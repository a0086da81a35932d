package work

// About is what a unit is, for who decides what may be done with it.
type About struct {
	WorkType string // as it was submitted; of a unit that stands for another node's, the one there
	Node     string // where it runs
}

// About tells what a unit is; an *Error of code NotFound if there is no such unit.
func (m *Manager) About(id string) (About, error) {
	u, err := m.unit(id)
	if err != nil {
		return About{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return m.aboutLocked(u), nil
}

func (m *Manager) aboutLocked(u *unit) About {
	if u.far != nil {
		return About{WorkType: u.far.RemoteWorkType, Node: u.far.RemoteNode}
	}
	return About{WorkType: u.rec.WorkType, Node: m.c.Node}
}
