package mesh

import "time"

// Values of the protocol (spec mesh-protocol 1).
const (
	maxHops        = 30               // hop budget of a packet
	headerSize     = 36               // of a data frame, type byte included
	helloInterval  = time.Second      // between first messages
	helloCount     = 11               // first messages before a link is given up
	minIdle        = 21 * time.Second // least and default idle limit of a link
	redialFirst    = 5 * time.Second  // wait after a session, or the first failure
	redialGrowth   = 1.5              // factor for each further failure
	redialMost     = 20 * time.Second // longest wait
	advertInterval = 60 * time.Second // between advertisements of our services
	pingTimeout    = 10 * time.Second
)

// Values of our own.
const (
	advertDelay     = 100 * time.Millisecond // requests to advertise within this time are merged
	advertAge       = 10 * time.Minute       // an advertisement not repeated for this long is dropped
	cancelAge       = 10 * time.Minute       // how long a cancellation is remembered
	maxNodeAdverts  = 256                    // services of one node
	maxAdverts      = 1 << 16                // services of all nodes, cancelled ones included
	maxAdvertBytes  = 12 << 20               // what they take in memory
	maxLinks        = 4096                   // open at a time, whether established or not
	lingerReject    = time.Second            // for the reject frame to get out before the link closes
	lingerSilent    = 50 * time.Millisecond  // for the last first message to get out
	flushPatience   = 100 * time.Millisecond // for what waits for links when the node ends
	maxPending      = 256                    // links that have not said who they are
	holdTime        = 3 * time.Second        // for the decision between two links to one node
	silenceReplaced = 12 * time.Second       // a link silent for longer gives way to a new one: the keep-alive interval and some
	youngLink       = 3 * time.Second        // two links opened within this time are simultaneous dials
	redialJitter    = 10                     // one part in this many of a wait is random
	rivalWait       = time.Minute            // between attempts while another link to the node is up
	idleCheck       = time.Second            // between looks for idle links
	freeLogLines    = 64                     // of tables of routes that are logged at once
	logLinePause    = 10 * time.Millisecond  // for each line of larger ones, to the next time
	maxLogPause     = 5 * time.Minute
)

// Sizes of queues. What happens when one is full is said where it is used.
const (
	maxInbox      = 256       // control frames a link may have waiting for the owner
	maxUnique     = 1024      // control frames waiting for a link, beyond which those without a key of their own are dropped
	manyControl   = 32        // control frames at a time after which the memory for them is given back
	maxControl    = 16 << 20  // bytes that control frames take that wait for a link, without the frames, which links share
	maxTold       = 16 << 20  // the same of all links together
	controlCost   = 200       // bytes that one takes, about
	leastControl  = 64        // that any link may have
	maxQueue      = 4096      // data frames waiting for a link
	maxQueueBytes = 8 << 20   // and their bytes
	maxQueued     = 32 << 20  // bytes of data frames waiting for all links together
	maxInboxBytes = 256 << 10 // bytes of control frames a link may have waiting for the owner
	maxArrived    = 16 << 20  // the same of all links together
	maxLocal      = 512       // data frames waiting for a link up to which local senders may add
	maxBatch      = 128       // frames handed to a link at once
	maxBatchBytes = 256 << 10
	maxSocket     = 4096 // frames waiting for a local socket
	maxSocketSize = 8 << 20
	maxDecisions  = 1 << 14 // firewall decisions that are kept
	maxRemotes    = 1024    // cached addresses of a socket
)
