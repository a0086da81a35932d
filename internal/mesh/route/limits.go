package route

import "time"

// Constants of the specification (mesh-protocol 1 and 6).
const (
	// MergeDelay is how close together two updates of our own may be, and the
	// most that a route computation is delayed after the one before. The first
	// is never delayed.
	MergeDelay = 100 * time.Millisecond

	// KeepAlive is the longest time without an update on a link.
	KeepAlive = 10 * time.Second

	// SeenFor is how long an update ID is remembered at least, unless there are
	// more than maxSeen of them.
	SeenFor = time.Hour
)

// Constants of our own choice.
const (
	// ForgetAfter is how long a node is kept without any news of it.
	ForgetAfter = time.Hour

	// MaxNodes is how many nodes may be known at the same time.
	MaxNodes = 65536

	// MaxEdges is how many connections all known nodes may have together, each
	// counted from both ends: two for each of MaxNodes nodes. In memory, and in the
	// answers to who asks for the graph, an edge takes more than a node.
	MaxEdges = 2 * MaxNodes

	// MaxStored bounds the sum of the sizes of all stored updates, in bytes.
	MaxStored = 16 << 20

	// ForgetLost is the same as ForgetAfter for nodes out of reach, once so much is known
	// that memory counts: crowdNodes nodes, or crowdEdges edges, or crowdBytes of updates.
	// A neighbour that tells of thousands of nodes that do not exist is thus forgotten with them.
	ForgetLost = time.Minute
	crowdNodes = 1024
	crowdEdges = MaxEdges / 32
	crowdBytes = MaxStored / 16

	// keepAliveMin and keepAliveMax bound the random time after which a silent link
	// gets a keep-alive; the rest to KeepAlive is for timers that run late.
	keepAliveMin = 8 * time.Second
	keepAliveMax = 9500 * time.Millisecond

	// refreshFirst is when an update of our own is flooded again after our links
	// changed; each further interval is refreshGrowth times as long, up to
	// refreshMax. The early ones repair losses on links between nodes that do
	// not repeat stored updates themselves.
	refreshFirst  = 10 * time.Second
	refreshGrowth = 4
	refreshMax    = 10 * time.Minute

	// growSpread is the window, per known node, over which the nodes spread the
	// updates they send because another node appeared; it is at most growMax.
	growSpread = 10 * time.Millisecond
	growMax    = time.Minute

	// recent is how long an update of a node that is not reachable is given to
	// new links all the same: what makes the node reachable may be on its way.
	recent = time.Minute

	// computePerNode is how long after another a route computation may be, for
	// each node known; in a mesh of at most smallMesh nodes it is never delayed.
	computePerNode = 50 * time.Microsecond
	smallMesh      = 32

	// computePerEdge is the same for each edge beyond denseMesh.
	computePerEdge = 5 * time.Microsecond
	denseMesh      = 20_000

	// sweepEvery is how often we look for nodes to forget.
	sweepEvery = time.Minute

	// trickleEvery, trickleRound and trickleMax: every second a lossy link gets
	// a sixtieth of the stored updates, but no more than this many.
	trickleEvery = time.Second
	trickleRound = 60
	trickleMax   = 100

	// maxRepeats bounds the updates waiting to be repeated on one lossy link, each
	// time, and maxAllRepeats those on all, of which each gets leastRepeats in any case.
	maxRepeats    = 1 << 12
	maxAllRepeats = 1 << 16
	leastRepeats  = 1 << 6

	// behindMax is how many updates a link that is behind gets every second.
	behindMax = 1000

	// maxSeen bounds each of the two generations of update IDs: every node of the
	// largest mesh may send an update before one goes early.
	maxSeen = MaxNodes
)

// repeatAfter are the times after which a lossy link gets an update once more,
// each counted from the sending before.
var repeatAfter = [...]time.Duration{1 * time.Second, 2 * time.Second, 7 * time.Second}
