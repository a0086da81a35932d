package config

import (
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MinIdleTimeout is the least, and the default, of Node.IdleTimeout: a
// neighbour may be silent for 10 s and a lost frame or two is no reason to
// drop a link.
const MinIdleTimeout = 21 * time.Second

// Bounds on names.
const (
	maxNodeID  = 255 // bytes: it names a directory
	maxService = 8   // bytes: its place in a packet
)

// complete fills in the defaults of f that depend on the machine or on other
// sections, and checks everything that takes more than one key to know. It is
// the one place where a configuration is judged, whatever it was written in.
func complete(f *File, o Options, r *report) {
	c := checker{file: f, report: r}
	if f.Log.Origin.Section == "" {
		f.Log = Log{Level: slog.LevelInfo, Format: LogText}
	}
	if !f.ToolsOnly {
		c.node(o)
	}
	c.tlsSections()
	c.listeners()
	c.peers()
	c.controlServices()
	if a := c.file.AuditLog; a != nil {
		c.notEmpty(a.Origin, "filename", a.Filename)
	}
	c.proxies()
	c.services()
	c.work()
	c.certificates()
	c.addresses()
}

// checker reports what is wrong with the values of a File.
type checker struct {
	file             *File
	report           *report
	servers, clients tlsNames
}

// tlsNames are the names that TLS references may have.
type tlsNames struct {
	names []string // in order
	has   map[string]bool
}

// wrong reports a problem with a key, unless it has one already.
func (c *checker) wrong(o Origin, key, suggestion, format string, args ...any) {
	if o.failed[key] {
		return
	}
	p := atKey(o, key, format, args...)
	p.Suggestion = suggestion
	c.report.problem(p)
}

// wrongSection reports a problem with a section as a whole, unless one of its
// keys has one already.
func (c *checker) wrongSection(o Origin, suggestion, format string, args ...any) {
	if len(o.failed) == 0 {
		c.wrong(o, "", suggestion, format, args...)
	}
}

func (c *checker) warn(o Origin, key, format string, args ...any) {
	if !o.failed[key] {
		c.report.warn(atKey(o, key, format, args...))
	}
}

// node completes and checks section node, which may not be there.
func (c *checker) node(o Options) {
	n := &c.file.Node
	if n.ID == "" && !n.Origin.failed["id"] {
		n.ID = o.Hostname
		if host, _, _ := strings.Cut(n.ID, "."); n.ID == "" || strings.EqualFold(host, "localhost") {
			c.wrong(n.Origin, "id", "name the node with a section node and its key id", "no node ID specified and local host name is localhost")
			n.Origin.fail("id")
		}
	}
	c.nodeID(n.Origin, n.ID)
	switch {
	case n.DataDir == "" && n.Origin.given("datadir"):
		n.DataDir = tempDir(o) + "/receptor"
	case n.DataDir == "":
		n.DataDir = "/tmp/receptor"
	}
	if n.IdleTimeout == 0 && !n.Origin.given("maxidleconnectiontimeout") {
		n.IdleTimeout = MinIdleTimeout
	}
	if n.IdleTimeout < MinIdleTimeout {
		c.wrong(n.Origin, "maxidleconnectiontimeout", "",
			"%v is less than the least possible, %v", n.IdleTimeout, MinIdleTimeout)
	}
}

func tempDir(o Options) string {
	if o.TempDir == "" {
		return "/tmp"
	}
	return o.TempDir
}

// nodeID checks our own ID, which also names a directory. ansible/receptor
// takes almost anything; what cannot work or is dangerous is refused here.
func (c *checker) nodeID(o Origin, id string) {
	wrong := func(format string, args ...any) { c.wrong(o, "id", "", format, args...) }
	switch {
	case strings.EqualFold(id, "localhost"):
		wrong("node ID %q is reserved", "localhost")
	case len(id) > maxNodeID:
		wrong("node ID of %d bytes: at most %d are possible", len(id), maxNodeID)
	case !utf8.ValidString(id) || containsControl(id):
		wrong("node ID %q has control characters or is not UTF-8", id)
	case strings.ContainsFunc(id, func(r rune) bool { return r == ':' || unicode.IsSpace(r) }):
		// The text form of the control protocol splits at blanks, and addresses at the colon.
		wrong("node ID %q contains a colon or a blank: other nodes could not address it", id)
	case slices.ContainsFunc(strings.FieldsFunc(id, isSlash), isDots) || strings.Trim(id, `/\`) == "" && id != "":
		wrong("node ID %q names a directory outside of datadir", id)
	case strings.ContainsFunc(id, isSlash):
		c.warn(o, "id", "node ID %q names a directory below another in datadir", id)
	}
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

func isDots(s string) bool { return s == "." || s == ".." }

// tlsSections checks the TLS sections and drops those that a later one of the
// same name replaces.
func (c *checker) tlsSections() {
	f := c.file
	for _, s := range f.TLSServers {
		c.notEmpty(s.Origin, "cert", s.Cert)
		c.notEmpty(s.Origin, "key", s.Key)
		if len(s.PinnedClientCert) > 0 && !s.RequireClientCert && s.ClientCAs == "" {
			c.warn(s.Origin, "pinnedclientcert", "is checked here: clients need one of these certificates; ansible/receptor does not ask for any without requireclientcert or clientcas")
		}
	}
	for _, s := range f.TLSClients {
		if (s.Cert == "") != (s.Key == "") && len(s.Origin.failed) == 0 {
			c.wrong(s.Origin, "cert", "", "cert and key must both be supplied or neither")
		}
		if len(s.PinnedServerCert) > 0 && s.InsecureSkipVerify {
			c.warn(s.Origin, "insecureskipverify", "accepts any certificate of pinnedservercert; with ansible/receptor, any at all")
		}
	}
	f.TLSServers = lastOfName(c, &c.servers, f.TLSServers, func(s TLSServer) (Origin, string) { return s.Origin, s.Name })
	f.TLSClients = lastOfName(c, &c.clients, f.TLSClients, func(s TLSClient) (Origin, string) { return s.Origin, s.Name })
}

func (c *checker) notEmpty(o Origin, key, v string) {
	if v == "" {
		c.wrong(o, key, "", "must not be empty")
	}
}

// lastOfName keeps the last of all sections that have the same name, and notes
// the names.
func lastOfName[T any](c *checker, names *tlsNames, all []T, name func(T) (Origin, string)) []T {
	var kept []T
	index := make(map[string]int)
	names.has = make(map[string]bool)
	for _, s := range all {
		o, n := name(s)
		if n == "" {
			c.wrong(o, "name", "", "must provide a name")
		}
		i, twice := index[n]
		if !twice {
			index[n] = len(kept)
			kept = append(kept, s)
			names.names = append(names.names, n)
			names.has[n] = n != ""
			continue
		}
		first, _ := name(kept[i])
		c.warn(o, "name", "replaces the section of the same name at %v", first)
		kept[i] = s
	}
	return kept
}
