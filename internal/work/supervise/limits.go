package supervise

import "time"

// Limits on what comes over the socket or out of the files of a unit.
const (
	// MaxUnit is the longest key of a unit, in bytes.
	MaxUnit = 255
	// maxLine bounds one line of the protocol in either direction. Linux takes 128 KiB for one argument and 2 MiB for all of them
	// together with the environment by default; the spelling of JSON may make that six times as long in the worst case.
	maxLine = 16 << 20
	// maxArgs bounds the arguments of a command together, in bytes. Linux takes 6 MiB at the very most, so these words spare the attempt.
	maxArgs = 8 << 20
	// maxFile bounds the process file when it is read.
	maxFile = 64 << 10
	// maxDetail bounds a text that quotes what came from outside, such as the name of a program. Six times that fits maxFile.
	maxDetail = 8 << 10
	// maxGrace bounds the time between interrupt and kill.
	maxGrace = 24 * time.Hour
)

// Tuning.
const (
	// DefaultIdle is how long a supervisor without commands and without a daemon stays.
	DefaultIdle = 30 * time.Second
	// maxSessions bounds the daemons (and whatever else of the same user) connected at once; one is normal, two while one replaces another.
	maxSessions = 8
	// maxOutbox bounds the bytes waiting for a daemon that does not read. Beyond, it is disconnected, and told everything when it is back.
	maxOutbox = 32 << 20
	// startsAtOnce bounds the commands being started at the same time: each occupies a thread between fork and exec.
	startsAtOnce = 4
	// helloTimeout bounds the first exchange of a connection.
	helloTimeout = 10 * time.Second
	// spawnTimeout bounds the time from the decision to start a supervisor to its greeting.
	spawnTimeout = 15 * time.Second
	// sendTimeout bounds one write to the supervisor.
	sendTimeout = 30 * time.Second
	// maxLog is the size at which the log of the supervisor is begun anew.
	maxLog = 1 << 20
)
