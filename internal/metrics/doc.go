// Package metrics shows the inside of a node over HTTP, in the text format of
// Prometheus, and whether it is well. docs/metrics.md lists all names; they are
// promises, and a test holds the list and the code together.
//
// # Concepts
//
// Nothing is counted here. A [Handler] asks the parts of the node at each request
// for /metrics, so a node without one does no work for it.
//
//	path      answer
//	/metrics  the metrics
//	/healthz  200 while the node's own goroutine answers, else 503
//	/readyz   200 once all sections of the configuration run, until the node is
//	          told to end; else 503
//
// # Not promised
//
// There is no access control: whoever can connect can read. What is read are
// node IDs of neighbours, names of work types, and numbers.
package metrics
