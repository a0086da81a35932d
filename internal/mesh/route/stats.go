package route

// Stats are counts since New, and some present sizes.
type Stats struct {
	Received   uint64 // frames given to Apply
	Duplicates uint64 // of these: already known, recognised by their update ID
	Malformed  uint64 // not decodable
	Ignored    uint64 // about ourselves, about nobody, or late first messages
	Stale      uint64 // older than what was known
	Accepted   uint64 // news, and passed on
	OverLimit  uint64 // news dropped because of MaxNodes, MaxEdges or MaxStored
	Oversize   uint64 // news not passed on because the frame would exceed wire.MaxFrame

	Forwarded  uint64 // frames of other nodes sent on, once for each link
	Floods     uint64 // updates of our own, each sent to all links
	Refreshes  uint64 // of these: nothing had changed
	KeepAlives uint64 // repeated own updates, once for each link
	Repeats    uint64 // repeated stored updates on lossy links
	Synced     uint64 // stored updates given to new links

	Computations uint64 // of shortest paths
	Forgotten    uint64 // nodes

	Nodes  int // nodes heard first hand
	Links  int // established links
	Stored int // bytes of stored updates
	Seen   int // remembered update IDs
	// LeftOut is the number of links that our own update does not list because
	// the frame would exceed wire.MaxFrame. Those links cannot carry traffic of
	// others, and their peers may reject them: have fewer links on one node.
	LeftOut int
}
