package mesh

import "fmt"

// DropsText shows the counters of a node.
func (n *Node) DropsText() string {
	c := &n.counters
	return fmt.Sprintf("malformed=%d type=%d hash=%d noroute=%d queue=%d socket=%d blocked=%d long=%d",
		c.malformed.Load(), c.unknownType.Load(), c.unknownHash.Load(), c.noRoute.Load(),
		c.queueFull.Load(), c.socketFull.Load(), c.blocked.Load(), c.tooLong.Load())
}

// Names shows the view of the data path.
func (n *Node) Names() string {
	s := ""
	for _, d := range n.view.Load().byHash {
		s += fmt.Sprintf("%s(%v %v) ", d.id, d.route, d.next != nil)
	}
	return s
}

// Sessions counts the QUIC connections of a node.
func (n *Node) Sessions() (count int) {
	n.streams.mu.Lock()
	defer n.streams.mu.Unlock()
	n.streams.each(func(*session) { count++ })
	return count
}

// Links is what Status shows of links and routes.
type Links = linkState

// Links returns the present ones.
func (n *Node) Links() *Links { return n.state.Load() }
