package controlproto

// The versions of the protocol.
const (
	V1 = 1 // ansible/receptor 1.5: lines of text or JSON, one request at a time
	V2 = 2 // requests with ids side by side, typed errors, announced bytes
)

// Limits on what comes from the other side, and of a session.
const (
	MaxLine   = 16 << 20  // bytes of one line, without its LF
	MaxChunk  = 1 << 20   // bytes that one line announces
	ChunkSize = 128 << 10 // bytes that we announce at a time
	MaxActive = 64        // requests of one session under way
	MaxValues = 1 << 16   // JSON values of one request
	MaxText   = 16 << 10  // bytes of the text of an error; the middle of a longer one is left out
	MaxUnitID = 255       // bytes of the id that a daemon of version 1 gives to a unit
)

// GreetingPrefix begins the daemon's first line; the node id follows.
const GreetingPrefix = "Receptor Control, node "

// Release is the release of ansible/receptor that daemon and client keep to. Both
// name it as their version, because clients compare the two as whole texts and
// warn when they differ.
const Release = "1.5.0"
