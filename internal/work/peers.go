package work

import "sync"

// wakeTogether is how many units that wait for a node are woken when it was
// reached. Each that gets through wakes as many again, so a long queue neither
// waits out its pauses nor comes all at once.
const wakeTogether = 16

// peers knows which units wait for which node. It holds a unit once, while it
// waits.
type peers struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool // by node; guarded by mu
}

func newPeers() *peers { return &peers{waiting: make(map[string]map[chan struct{}]bool)} }

// wait notes that kick wants a value when node was reached; the function it
// returns ends that.
func (p *peers) wait(node string, kick chan struct{}) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[node] == nil {
		p.waiting[node] = make(map[chan struct{}]bool)
	}
	p.waiting[node][kick] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.removeLocked(node, kick)
	}
}

func (p *peers) removeLocked(node string, kick chan struct{}) {
	delete(p.waiting[node], kick)
	if len(p.waiting[node]) == 0 {
		delete(p.waiting, node)
	}
}

// reached tells that node answers.
func (p *peers) reached(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for kick := range p.waiting[node] {
		if n++; n > wakeTogether {
			return
		}
		p.removeLocked(node, kick)
		poke(kick)
	}
}

// poke puts a value into a channel of one place, if there is none.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
