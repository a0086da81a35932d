package controlproto

import (
	"encoding/json"
	"strconv"
	"time"
)

// Ping is the outcome of a ping: a Success with From and Time, or an Error.
// A failed ping is a reply, not an error of the protocol.
type Ping struct {
	Success bool
	From    string
	Time    time.Duration // round trip
	TimeStr string
	Error   string
}

// MarshalJSON writes the members that version 1 has for each outcome.
func (p Ping) MarshalJSON() ([]byte, error) {
	if !p.Success {
		return json.Marshal(struct {
			Error   string
			Success bool
		}{p.Error, false})
	}
	return json.Marshal(struct {
		From    string
		Success bool
		Time    time.Duration
		TimeStr string
	}{p.From, true, p.Time, p.Time.String()})
}

// Hop is one node on the way of a traceroute, or with Error the last one.
type Hop struct {
	Error   string `json:",omitempty"`
	From    string
	Time    time.Duration
	TimeStr string
}

// Trace maps hop numbers, in decimal, to hops.
type Trace map[string]Hop

// Hops lists a trace in order, from hop 0 up to the first number that is missing.
func (t Trace) Hops() []Hop {
	var hops []Hop
	for i := 0; ; i++ {
		h, ok := t[strconv.Itoa(i)]
		if !ok {
			return hops
		}
		hops = append(hops, h)
	}
}

// Connection is a direct link of a node.
type Connection struct {
	NodeID string
	Cost   float64
}

// Advert is a service as status shows it.
type Advert struct {
	NodeID       string
	Service      string
	Time         time.Time
	ConnType     int
	Tags         map[string]string
	WorkCommands []WorkCommand
}

// WorkCommand is a work type that a node offers; Secure tells that work of
// this type must be signed.
type WorkCommand struct {
	WorkType string
	Secure   bool
}

// Status is the reply to status, with every member. A daemon sends only the
// members that were asked for.
type Status struct {
	Advertisements       []Advert
	Connections          []Connection
	KnownConnectionCosts map[string]map[string]float64
	NodeID               string
	RoutingTable         map[string]string
	SystemCPUCount       int
	SystemMemoryMiB      int64
	Version              string
	Certificates         []Certificate `json:",omitempty"` // of our nodes alone
}

// Certificate is one in a file of a TLS section: of our own certificates the one
// that ends first, of authorities the one that ends last.
type Certificate struct {
	Section  string // tls-server or tls-client
	Name     string // of the section
	Use      string // certificate, or authorities
	File     string
	Subject  string
	NotAfter time.Time
	Problem  string `json:",omitempty"` // why what the file holds now is not used
}

// CertificateSoon is how long before its end a certificate is warned of.
const CertificateSoon = 30 * 24 * time.Hour

// Reload is the outcome of a reload.
type Reload struct {
	Error   string `json:",omitempty"`
	Success bool
}

// State is the state of a unit (spec work 4).
type State int

// The states. The numbers are those of the status file and of the wire.
const (
	Pending       State = 0
	Running       State = 1
	Succeeded     State = 2
	Failed        State = 3
	StateCanceled State = 4
)

func (s State) String() string {
	switch s {
	case Pending:
		return "Pending"
	case Running:
		return "Running"
	case Succeeded:
		return "Succeeded"
	case Failed:
		return "Failed"
	case StateCanceled:
		return "Canceled"
	}
	return "Unknown: " + strconv.Itoa(int(s))
}

// Ended tells that the state is final.
func (s State) Ended() bool { return s >= Succeeded && s <= StateCanceled }

// UnitStatus is the record of a unit as clients see it.
type UnitStatus struct {
	Detail     string
	ExtraData  json.RawMessage // by work type; null if there is none
	State      State
	StateName  string
	StdoutSize int64
	WorkType   string

	// What the original keeps nowhere; version 2 only.

	ExitCode   *int      `json:",omitempty"` // of a command that ended by itself; nil: it has not, or how is not known
	StderrSize *int64    `json:",omitempty"` // bytes of the separate error output; nil: output and error output are mixed
	Ended      time.Time `json:",omitzero"`  // when the unit reached its final state
}

// V1 is the record with the members that version 1 has.
func (u UnitStatus) V1() UnitStatus {
	u.ExitCode, u.StderrSize, u.Ended = nil, nil, time.Time{}
	return u
}

// Submit asks for a new unit. Params are the worker's parameters.
type Submit struct {
	Node      string            `json:"node"`
	WorkType  string            `json:"worktype"`
	UnitID    string            `json:"unitid,omitempty"`
	TLSClient string            `json:"tlsclient,omitempty"`
	TTL       string            `json:"ttl,omitempty"`
	SignWork  bool              `json:"signwork,omitempty"`
	Signature string            `json:"signature,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	// Stream starts the work at once: it reads the payload while that is still
	// being sent. Version 2 only.
	Stream bool `json:"stream,omitempty"`
	// Stderr is StderrSeparate to keep the error output apart from the output, or
	// StderrMixed; empty: as the work type is configured. Version 2 only.
	Stderr string `json:"stderr,omitempty"`
}

// The values of Submit.Stderr.
const (
	StderrMixed    = "mixed"
	StderrSeparate = "separate"
)

// Adopt asks a node to take over a unit that another controller has submitted:
// it makes a unit of its own that stands for UnitID of Node.
type Adopt struct {
	Node      string `json:"node"`
	UnitID    string `json:"unitid"`
	TLSClient string `json:"tlsclient,omitempty"`
	SignWork  bool   `json:"signwork,omitempty"`
}

// Adopted answers Adopt. UnitID is the id of the unit on the node that was asked.
type Adopted struct {
	Result string `json:"result"` // ResultAdopted
	UnitID string `json:"unitid"`
}

// ResultAdopted is the Result of Adopted.
const ResultAdopted = "Adopted"

// Submitted is the result of a submit: Result is JobStarted or JobSubmitted.
type Submitted struct {
	Result string `json:"result"`
	UnitID string `json:"unitid"`
}

// The results of a submit.
const (
	JobStarted   = "Job Started"   // the work runs, or the other node has taken it
	JobSubmitted = "Job Submitted" // the other node cannot be reached now; the daemon goes on trying
)

// UnitEvent is the data of the event `unit` of a version 2 submit.
type UnitEvent struct {
	UnitID   string `json:"unitid"`
	Received int64  `json:"received"`
}

// Hello is the first request of a version 2 session, Welcome its answer.
type Hello struct {
	Command  string `json:"command"`
	Versions []int  `json:"versions"`
}

// Welcome answers Hello.
type Welcome struct {
	Version  int    `json:"version"`
	Node     string `json:"node"`
	Software string `json:"software"`
}

// Frame is any line of a version 2 session but a request.
type Frame struct {
	ID        uint64          `json:"id"`
	Bytes     int64           `json:"bytes,omitempty"`
	Stream    string          `json:"stream,omitempty"` // with Bytes: StreamStderr, or empty for output
	EOF       bool            `json:"eof,omitempty"`
	Signature string          `json:"signature,omitempty"` // with EOF: of the payload that ends
	Cancel    bool            `json:"cancel,omitempty"`
	Event     string          `json:"event,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *Error          `json:"error,omitempty"`
}

// StreamStderr in a Frame says that its bytes are error output.
const StreamStderr = "stderr"

// The names of events.
const (
	EventUnit   = "unit"   // submit: UnitEvent
	EventStatus = "status" // follow: UnitStatus
)
