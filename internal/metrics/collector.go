package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/receptor-go/receptor/internal/mesh"
	"github.com/receptor-go/receptor/internal/pki"
	"github.com/receptor-go/receptor/internal/work"
)

// Source is what is shown.
type Source struct {
	Node     *mesh.Node
	Work     *work.Manager // nil if the node keeps no units
	Sessions func() int    // control sessions that are open
	Refused  func() uint64 // control sessions that were refused or closed as there were too many
	Ready    func() bool   // all that is configured runs
	// Certificates are those of all TLS sections; nil is none.
	Certificates func() []pki.Certificate
	// Audit is how many entries of the audit log were written, and how many lost; nil is none.
	Audit   func() (written, lost uint64)
	Version string // of ansible/receptor that the node is compatible with
}

// collector asks a Source at each scrape.
type collector struct{ Source }

// Describe says nothing: which links there are is not known beforehand.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives the metrics of docs/metrics.md.
func (c collector) Collect(to chan<- prometheus.Metric) {
	put := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("receptor_"+name, help, names, nil), kind, value, values...)
	}
	gauge := func(name, help string, value float64, labels ...string) {
		put(prometheus.GaugeValue, name, help, value, labels...)
	}
	count := func(name, help string, value uint64, labels ...string) {
		put(prometheus.CounterValue, name+"_total", help, float64(value), labels...)
	}
	gauge("info", "Always 1; the node and the release of ansible/receptor that it is compatible with.", 1,
		"node", string(c.Node.ID), "version", c.Version)
	c.mesh(gauge, count)
	gauge("control_sessions", "Control sessions that are open.", float64(c.Sessions()))
	if c.Certificates != nil {
		for _, x := range c.Certificates() {
			gauge("certificate_seconds_left", "Seconds until a certificate ends; negative if it has ended. Of a file of authorities the last to end counts, else the first.",
				time.Until(x.Until).Seconds(), "section", x.Section, "name", x.Entry, "use", x.Use, "file", x.File)
		}
	}
	if c.Audit != nil {
		written, lost := c.Audit()
		count("audit_entries", "Entries of the audit log that were written.", written)
		count("audit_entries_lost", "Entries of the audit log that were lost, as it could not be written.", lost)
	}
	count("control_sessions_refused", "Control sessions that were refused, or closed while they waited for their client, because there were too many.", c.Refused())
	if c.Work == nil {
		return
	}
	for k, n := range c.Work.Counts() {
		gauge("units", "Units of work that the node keeps, by work type and state.", float64(n), "work_type", k.WorkType, "state", k.State.String())
	}
}

func (c collector) mesh(gauge func(string, string, float64, ...string), count func(string, string, uint64, ...string)) {
	n, s := c.Node.Counters(), c.Node.Status()
	gauge("links", "Established links.", float64(len(n.Links)))
	count("links_established", "Links that were established.", n.LinksUp)
	count("links_ended", "Established links that have ended.", n.LinksDown)
	for _, l := range n.Links {
		peer := string(l.Peer)
		count("link_received_bytes", "Bytes of frames received by the present link to a node.", l.BytesIn, "peer", peer)
		count("link_sent_bytes", "Bytes of frames sent by the present link to a node.", l.BytesOut, "peer", peer)
		count("link_received_frames", "Frames received by the present link to a node.", l.FramesIn, "peer", peer)
		count("link_sent_frames", "Frames sent by the present link to a node.", l.FramesOut, "peer", peer)
	}
	for _, l := range s.Connections {
		gauge("link_cost", "Cost of the link to a node.", l.Cost, "peer", string(l.Peer))
	}
	for _, d := range []struct {
		cause string
		count uint64
	}{
		{"malformed", n.Drops.Malformed},
		{"unknown_type", n.Drops.UnknownType},
		{"unknown_node", n.Drops.UnknownNode},
		{"no_route", n.Drops.NoRoute},
		{"link_full", n.Drops.LinkFull},
		{"link_behind", n.Drops.LinkBehind},
		{"socket_full", n.Drops.SocketFull},
		{"firewall", n.Drops.Blocked},
		{"too_long", n.Drops.TooLong},
		{"over_limit", n.Drops.OverLimit},
	} {
		count("drops", "Frames and packets that were dropped, by cause.", d.count, "cause", d.cause)
	}
	count("links_refused", "Links that were closed because too many were open.", n.Drops.Crowded)
	gauge("routes", "Nodes that there is a route to.", float64(len(s.Routes)))
	gauge("known_nodes", "Nodes of the mesh that are known, this one included.", float64(len(s.Known)))
	count("route_computations", "Computations of all routes.", n.Route.Computations)
	for _, u := range []struct {
		outcome string
		count   uint64
	}{
		{"accepted", n.Route.Accepted},
		{"duplicate", n.Route.Duplicates},
		{"stale", n.Route.Stale},
		{"ignored", n.Route.Ignored},
		{"malformed", n.Route.Malformed},
		{"over_limit", n.Route.OverLimit},
	} {
		count("route_updates", "Routing updates received, by what became of them.", u.count, "outcome", u.outcome)
	}
}
