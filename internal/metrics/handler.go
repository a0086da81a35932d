package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxScrapes     = 4                // at a time; further ones are answered 503
	scrapeTimeout  = 10 * time.Second // of one request for metrics
	healthTimeout  = 5 * time.Second  // in which the node has to answer
	requestTimeout = 30 * time.Second // of reading a request and of writing an answer
	farewell       = time.Second      // for the answers that are under way at the end
	maxHeader      = 16 << 10         // bytes
)

// Handler answers the paths that the package names. It keeps a registry of its
// own.
func Handler(s Source) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, ErrorHandling: promhttp.ContinueOnError, DisableCompression: true,
	}))
	h := &health{answers: func() { s.Node.Counters() }, slot: make(chan struct{}, 1)}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, h.good(r.Context()), "the node does not answer")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Ready(), "not all that is configured runs, or the node is about to end")
	})
	return mux
}

func answer(w http.ResponseWriter, good bool, otherwise string) {
	text := "ok\n"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = otherwise + "\n"
	}
	_, _ = io.WriteString(w, text) // the client may have gone
}

// health finds out whether a node answers.
type health struct {
	answers func()        // returns when it does
	slot    chan struct{} // one token while it is asked
}

// good asks the node. One question is under way at a time, and it stays so
// for as long as there is no answer.
func (h *health) good(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	select {
	case h.slot <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	done := make(chan struct{})
	go func() { // ends with the answer, which comes at the latest when the node ends
		h.answers()
		<-h.slot
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Serve answers the requests that come by ln until ctx ends, then closes all and
// returns nil. An error means that ln was closed by somebody else.
func Serve(ctx context.Context, ln net.Listener, s Source) error {
	server := &http.Server{
		Handler: Handler(s), ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: requestTimeout,
		MaxHeaderBytes: maxHeader,
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // waited for below if it has begun
		defer close(stopped)
		late, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		if server.Shutdown(late) != nil {
			server.Close()
		}
	})
	err := server.Serve(ln)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}
