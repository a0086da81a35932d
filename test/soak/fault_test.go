//go:build soak && unix

package soak

import (
	"syscall"
	"time"

	"github.com/receptor-go/receptor/test/harness"
	"github.com/receptor-go/receptor/test/soak/rig"
)

// maxCuts is how many of the links may be cut at a time.
const maxCuts = 3

// fault breaks or mends one thing, drawn by chance.
func (s *soak) fault() {
	switch k := s.r.IntN(20); {
	case k < 9:
		s.faultOfLink(s.m.links[s.r.IntN(len(s.m.links))], s.r.IntN(3))
	case k < 12:
		s.faultOfDaemon(s.anyNode(s.m.names), true)
	case k < 14:
		s.faultOfDaemon(s.anyNode(s.m.names), false)
	case k < 17:
		s.faultOfSupervisor(s.m.nodes[s.m.work[s.r.IntN(3)]])
	case k < 18:
		s.faultOfBoth(s.anyNode(s.m.work))
	default:
		s.faultOfNode(s.anyNode(s.m.work))
	}
}

// anyNode draws a node whose daemon may be ended.
func (s *soak) anyNode(names []string) *harness.Node {
	for {
		if name := names[s.r.IntN(len(names))]; name != s.steady {
			return s.m.nodes[name]
		}
	}
}

func (s *soak) faultOfLink(l *link, how int) {
	cuts := 0
	for _, other := range s.m.links {
		if other.cut {
			cuts++
		}
	}
	switch {
	case l.cut:
		l.cable.Heal()
		l.cut = false
		s.happened("link %s heals", l.name)
		s.count("links healed")
	case cuts >= maxCuts || how == 0:
		l.cable.Snap()
		s.happened("link %s breaks and is there again", l.name)
		s.count("links broken for a moment")
	default:
		l.cable.Cut(how == 1)
		l.cut = true
		s.happened("link %s is cut, silently: %v", l.name, how == 1)
		s.count(map[bool]string{true: "links cut silently", false: "links cut"}[how == 1])
	}
}

// faultOfDaemon ends a daemon, by SIGKILL or in order; it is started again later.
func (s *soak) faultOfDaemon(n *harness.Node, kill bool) {
	if !n.Alive() {
		s.restart(n)
		return
	}
	if kill {
		s.happened("daemon %s is killed", n.ID)
		s.count("daemons killed")
		n.Kill()
	} else {
		s.happened("daemon %s is stopped", n.ID)
		s.count("daemons stopped")
		if code := n.Stop(); code != 0 {
			s.t.Errorf("%s: exit code %d", n.ID, code)
		}
	}
	s.daemonGone(n)
	s.down[n.ID] = time.Now().Add(time.Duration(s.r.IntN(4000)) * time.Millisecond)
}

func (s *soak) restart(n *harness.Node) {
	delete(s.down, n.ID)
	n.Start()
	s.happened("daemon %s is started", n.ID)
	s.count("daemons started")
}

// restartDue starts the daemons that have been down long enough.
func (s *soak) restartDue() {
	for id, when := range s.down {
		if time.Now().After(when) {
			s.restart(s.m.nodes[id])
		}
	}
}

// faultOfSupervisor kills a supervisor alone.
func (s *soak) faultOfSupervisor(n *harness.Node) {
	for _, pid := range supervisors(n) {
		child := n.Alive() && rig.Parent(pid) == n.Pid()
		syscall.Kill(pid, syscall.SIGKILL)
		s.happened("supervisor of %s is killed, child of the daemon: %v", n.ID, child)
		s.count("supervisors killed")
		s.running(n, func(u *unit, sure bool) {
			u.orphaned = true
			// Commands of a supervisor that is not the daemon's child, or that were just being
			// started, may end unseen.
			if !child || !sure {
				u.excuse = "its supervisor was killed, and nobody else surely saw the end"
			}
		})
	}
}

// daemonGone notes which commands nobody watches any more.
func (s *soak) daemonGone(n *harness.Node) {
	s.running(n, func(u *unit, sure bool) {
		if u.orphaned {
			u.excuse = "supervisor and daemon ended while it ran"
		}
	})
}

func (s *soak) faultOfBoth(n *harness.Node) {
	if !n.Alive() {
		s.restart(n)
		return
	}
	s.happened("daemon and supervisor of %s are killed", n.ID)
	s.count("daemons and supervisors killed together")
	n.Kill()
	for _, pid := range supervisors(n) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.running(n, func(u *unit, sure bool) { u.excuse = "daemon and supervisor were killed while it ran" })
	s.down[n.ID] = time.Now().Add(time.Duration(s.r.IntN(4000)) * time.Millisecond)
}

// faultOfNode ends everything of a node, commands too.
func (s *soak) faultOfNode(n *harness.Node) {
	s.happened("everything of %s is killed", n.ID)
	s.count("whole nodes killed")
	before := map[*unit]bool{}
	for _, u := range s.units[s.first:] {
		began, _, _ := u.progress()
		before[u] = began
	}
	killAll(n)
	s.running(n, func(u *unit, sure bool) {
		u.excuse = "everything of its node was killed"
		u.doomed = u.doomed || before[u] && sure
	})
	s.down[n.ID] = time.Now().Add(time.Duration(s.r.IntN(3000)) * time.Millisecond)
}

// running calls do for each unit of the node that may have a command running;
// sure tells that it surely runs since a while, and has not ended.
func (s *soak) running(n *harness.Node, do func(u *unit, sure bool)) {
	for _, u := range s.units[s.first:] {
		if u.executor != n.ID {
			continue
		}
		began, ended, at := u.progress()
		if ended && time.Since(at) > settled {
			continue
		}
		u.set(func() { do(u, began && !ended && time.Since(at) > settled) })
		u.note("may be hit: began %v, ended %v", began, ended)
	}
}
