package config

import (
	"log/slog"
	"net/netip"
	"os"
	"time"
)

// File is a complete, checked configuration. Slices are in the order of the
// sections in the files. File names are as written, relative to the working
// directory of the process.
type File struct {
	Node             Node
	Log              Log
	LocalOnly        bool // a node without links may run
	Trace            bool // packets are logged
	Listeners        []Listener
	Peers            []Peer
	ControlServices  []ControlService
	WorkCommands     []WorkCommand
	TLSServers       []TLSServer // unique by Name
	TLSClients       []TLSClient // unique by Name
	TCPServers       []TCPServer
	TCPClients       []TCPClient
	UDPServers       []UDPServer
	UDPClients       []UDPClient
	UnixServers      []UnixServer
	UnixClients      []UnixClient
	CommandServices  []CommandService
	IPRouters        []IPRouter
	Metrics          []Metrics // one at most
	WorkKubernetes   []WorkKubernetes
	WorkPythons      []WorkPython
	CommandRunners   []CommandRunner
	CertInits        []CertInit        // to be done before all else, in this order
	CertRequests     []CertRequest     // after CertInits
	CertSignings     []CertSigning     // after CertRequests
	WorkSigning      *WorkSigning      // nil without the section
	WorkVerification *WorkVerification // nil without the section
	AuditLog         *AuditLog         // nil without the section
	PrintVersion     bool              // the version is asked for, and nothing else

	// ToolsOnly tells that there are none but certificates to make, or that the
	// version is to be printed: then no node is meant to run, and Node is not
	// filled in.
	ToolsOnly bool

	// Warnings are oddities that do not stop the start, in file order.
	Warnings Problems
}

// HasBackend tells whether anything in f can carry links (or says that none is
// wanted). A daemon without a backend has nothing to do and ends with an error
// (spec configuration 6).
func (f *File) HasBackend() bool {
	return f.LocalOnly || len(f.Listeners) > 0 || len(f.Peers) > 0
}

// Node is section node: who we are (spec configuration 7.1).
type Node struct {
	Origin      Origin
	ID          string         // 1 to 255 bytes; default the host name
	DataDir     string         // units of work live in DataDir/ID; default /tmp/receptor
	Firewall    []FirewallRule // tried in order, the first match decides, none accepts
	IdleTimeout time.Duration  // at least and by default 21 s
	Unsynced    bool           // accepted work need not survive a power cut; ours
	Kubernetes  Kubernetes
}

// Kubernetes is the tuning of the Kubernetes client, as written; empty where
// not given (spec configuration 7.1).
type Kubernetes struct {
	SupportReconnect string // enabled, disabled or auto
	QPS              string
	Burst            string
	RateLimiter      string // never, always or tokenbucket
}

// Log is section log-level. Without the section the level is info, with the
// section but no level it is error (spec configuration 7.3).
type Log struct {
	Origin Origin
	Level  slog.Level
	Format string // LogText or LogJSON; ours, unknown to ansible/receptor
}

// The values of Log.Format.
const (
	LogText = "text"
	LogJSON = "json"
)

// Transport is what carries a link.
type Transport string

// The transports, named as in the sections' names.
const (
	TCP       Transport = "tcp"
	UDP       Transport = "udp"
	WebSocket Transport = "ws"
)

// Listener is a section tcp-listener, udp-listener or ws-listener
// (spec configuration 7.9).
type Listener struct {
	Origin       Origin
	Transport    Transport
	Address      string // host:port to bind; port 0 lets the system pick
	Path         string // WebSocket only; "/" accepts every path
	TLS          string // name of a TLSServer, or empty; never set with UDP
	Cost         float64
	NodeCost     map[string]float64 // replaces Cost for these peers
	AllowedPeers []string           // nil allows everyone, empty nobody
}

// Peer is a section tcp-peer, udp-peer or ws-peer: a link that we dial
// (spec configuration 7.9).
type Peer struct {
	Origin       Origin
	Transport    Transport
	Address      string // host:port, or a ws:// or wss:// URL
	Redial       bool   // by default true: keep trying
	ExtraHeader  string // WebSocket only; "Name: value" or empty
	TLS          string // name of a TLSClient, or empty; always set with wss://
	Cost         float64
	AllowedPeers []string // nil allows everyone, empty nobody
}

// ControlService is a section control-service. At least one of Service,
// Filename and TCPListen is set (spec configuration 7.6).
type ControlService struct {
	Origin      Origin
	Service     string       // mesh service, or empty
	Filename    string       // Unix socket, or empty
	Permissions os.FileMode  // of the socket; default 0600
	TLS         string       // name of a TLSServer for the mesh service, or empty
	TCPListen   string       // host:port to bind, or empty
	TCPTLS      string       // name of a TLSServer for TCPListen, or empty
	Access      []AccessRule // tried in order; nil allows everything, none that matches nothing; ours
}

// AuditLog is section audit-log, unknown to ansible/receptor.
type AuditLog struct {
	Origin      Origin
	Filename    string
	Permissions os.FileMode // of a file that is made; default 0600
	Reads       bool        // requests that only read are recorded, too
}

// WorkCommand is a section work-command (spec configuration 7.11). What follows
// VerifySignature is ours, unknown to ansible/receptor.
type WorkCommand struct {
	Origin             Origin
	WorkType           string // unique, never "remote", never empty
	Command            string // the program; that it exists is not checked
	Params             string // split like a shell would, after runtime parameters were added
	AllowRuntimeParams bool
	VerifySignature    bool // only with File.WorkVerification

	SeparateStderr bool // the error output is kept apart, unless the submission says otherwise

	Limits
}

// Limits are what a work type may use, and how long its units stay. They are ours,
// never negative, and zero is none.
type Limits struct {
	MaxUnits   int           // commands that run at a time
	MaxRuntime time.Duration // of one command
	MaxOutput  int64         // bytes of one unit, error output included
	KeepFor    time.Duration // how long a unit stays after its end
	KeepCount  int           // ended units that stay
}

// TLSServer is a section tls-server (spec configuration 7.7).
type TLSServer struct {
	Origin                 Origin
	Name                   string
	Cert, Key              string // PEM files
	RequireClientCert      bool
	ClientCAs              string   // PEM file, or empty
	PinnedClientCert       [][]byte // SHA-256 or SHA-512 of certificates: 32 or 64 bytes each
	SkipReceptorNamesCheck bool
	MinTLS13               bool
}

// TLSClient is a section tls-client (spec configuration 7.8).
type TLSClient struct {
	Origin                 Origin
	Name                   string
	Cert, Key              string   // PEM files, or both empty
	RootCAs                string   // PEM file; empty trusts what the system trusts
	PinnedServerCert       [][]byte // SHA-256 or SHA-512 of certificates: 32 or 64 bytes each
	InsecureSkipVerify     bool
	SkipReceptorNamesCheck bool
	MinTLS13               bool
}

// TCPServer is a section tcp-server: a local port whose connections are
// carried to a service of another node (spec configuration 7.10).
type TCPServer struct {
	Origin        Origin
	Address       string // host:port to bind
	RemoteNode    string
	RemoteService string
	TLSServer     string // name of a TLSServer for the local port, or empty
	TLSClient     string // name of a TLSClient for the mesh side, or empty
}

// TCPClient is a section tcp-client: a mesh service whose connections are
// carried to a TCP address (spec configuration 7.10).
type TCPClient struct {
	Origin    Origin
	Service   string
	Address   string // host:port, dialled per connection
	TLSServer string // name of a TLSServer for the mesh side, or empty
	TLSClient string // name of a TLSClient for the TCP side, or empty
}

// Metrics is section metrics, which is ours: a listener that serves metrics over
// HTTP.
type Metrics struct {
	Origin  Origin
	Address string // host:port to bind; default 127.0.0.1:7324
}

// WorkSigning is section work-signing (spec configuration 7.11).
type WorkSigning struct {
	Origin          Origin
	PrivateKey      string        // PEM file
	TokenExpiration time.Duration // lifetime of a signature; default 5 minutes
}

// WorkVerification is section work-verification (spec configuration 7.11).
type WorkVerification struct {
	Origin    Origin
	PublicKey string // PEM file
	Strict    bool   // take no signature that does not say what it is for
}

// UDPServer is a section udp-server: a local port whose datagrams are carried
// to a service of another node (spec configuration 7.10).
type UDPServer struct {
	Origin        Origin
	Address       string // host:port to bind
	RemoteNode    string
	RemoteService string
}

// UDPClient is a section udp-client: a mesh service whose datagrams are carried
// to a UDP address (spec configuration 7.10).
type UDPClient struct {
	Origin  Origin
	Service string
	Address string // host:port
}

// UnixServer is a section unix-socket-server: a local socket whose connections
// are carried to a service of another node (spec configuration 7.10).
type UnixServer struct {
	Origin        Origin
	Filename      string
	Permissions   os.FileMode // default 0600
	RemoteNode    string
	RemoteService string
	TLS           string // name of a TLSClient for the mesh side, or empty
}

// UnixClient is a section unix-socket-client: a mesh service whose connections
// are carried to a Unix socket (spec configuration 7.10).
type UnixClient struct {
	Origin   Origin
	Service  string
	Filename string // dialled per connection
	TLS      string // name of a TLSServer for the mesh side, or empty
}

// CommandService is a section command-service: a mesh service that runs a
// command on a terminal for each connection (spec configuration 7.10).
type CommandService struct {
	Origin  Origin
	Service string
	Command string // split like a shell would
	TLS     string // name of a TLSServer, or empty
}

// IPRouter is a section ip-router (spec configuration 7.10).
type IPRouter struct {
	Origin      Origin
	NetworkName string // of the mesh service too
	Interface   string // name of the tun device, or empty
	LocalNet    netip.Prefix
	Routes      []netip.Prefix
}
