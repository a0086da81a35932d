//go:build attack

package attack

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// watch measures what the daemon is like while it is attacked.
type watch struct {
	s        *scene
	base     figures // before
	stop     chan struct{}
	probes   sync.WaitGroup
	logStart int64

	mu       sync.Mutex
	answers  []sample // of status
	pings    []sample // of the honest neighbour, both ways
	rss      []sample // bytes
	failures []string
	missed   int // of pings
}

type sample struct {
	at    time.Time
	value int64
}

// figures are gauges of the process.
type figures struct{ goroutines, files, rss int64 }

func newWatch(s *scene) *watch {
	w := &watch{s: s, stop: make(chan struct{})}
	for range 20 { // what every operator does, so that its memory counts as used before
		w.status()
		w.ping(s.target, "honest")
	}
	w.base = w.figures()
	w.logStart = w.logSize()
	return w
}

// begin starts measuring; end ends it.
func (w *watch) begin() {
	w.every(20*time.Millisecond, func() { w.record(&w.answers, "status", w.status) })
	w.every(200*time.Millisecond, func() {
		w.record(&w.pings, "ping of the honest neighbour", func() error { return w.ping(w.s.target, "honest") })
	})
	w.every(200*time.Millisecond, func() {
		w.record(&w.pings, "ping by the honest neighbour", func() error { return w.ping(w.s.honest, "t") })
	})
	w.every(50*time.Millisecond, func() {
		rss := w.memory()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rss = append(w.rss, sample{time.Now(), rss})
	})
}

func (w *watch) end() {
	close(w.stop)
	w.probes.Wait()
}

// every calls f at least so long apart until end.
func (w *watch) every(pause time.Duration, f func()) {
	w.probes.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(pause):
				f()
			}
		}
	})
}

func (w *watch) record(to *[]sample, what string, f func() error) {
	from := time.Now()
	err := f()
	w.mu.Lock()
	defer w.mu.Unlock()
	*to = append(*to, sample{from, int64(time.Since(from))})
	switch {
	case err != nil && to == &w.pings:
		w.missed++
	case err != nil && len(w.failures) < 20:
		w.failures = append(w.failures, fmt.Sprintf("%s: %s: %v", from.Format("15:04:05.000"), what, err))
	}
}

// status is what an operator's client does, and must show the neighbour.
func (w *watch) status() error {
	conn, err := net.Dial("unix", w.s.where.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	lines := bufio.NewReaderSize(conn, 1<<16)
	if _, err := lines.ReadString('\n'); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if _, err := fmt.Fprintln(conn, "status"); err != nil {
		return err
	}
	line, err := lines.ReadString('\n')
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(line, "{"):
		return fmt.Errorf("answer: %.200s", line)
	case !strings.Contains(line, `{"NodeID":"honest","Cost":1}`):
		return fmt.Errorf("the honest neighbour is not among the connections: %.400s", line)
	}
	return nil
}

func (w *watch) ping(from interface{ Ask(string) (string, error) }, to string) error {
	answer, err := from.Ask("ping " + to)
	if err == nil && !strings.Contains(answer, `"Success":true`) {
		err = fmt.Errorf("answer: %.200s", answer)
	}
	return err
}

// memory is the resident size in bytes.
func (w *watch) memory() int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.s.target.Pid()))
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// metrics are the numbers that the daemon tells of itself.
func (w *watch) metrics() map[string]float64 {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + w.s.where.Metrics + "/metrics")
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	all := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}

func (w *watch) figures() figures {
	m := w.metrics()
	return figures{int64(m["go_goroutines"]), int64(m["process_open_fds"]), w.memory()}
}

func (w *watch) logSize() int64 {
	info, err := os.Stat(w.s.target.LogFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// since describes the time since from.
func (w *watch) since(from time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("status %s, memory +%d MiB", quantiles(after(w.answers, from)), (largest(after(w.rss, from))-w.base.rss)>>20)
}

func after(all []sample, from time.Time) []sample {
	i, _ := slices.BinarySearchFunc(all, from, func(s sample, t time.Time) int { return s.at.Compare(t) })
	return all[i:]
}

func largest(all []sample) (most int64) {
	for _, s := range all {
		most = max(most, s.value)
	}
	return most
}

// quantile q of the samples; 0 of none.
func quantile(all []sample, q float64) time.Duration {
	values := make([]int64, 0, len(all))
	for _, s := range all {
		values = append(values, s.value)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return time.Duration(values[int(q*float64(len(values)-1))])
}

func quantiles(all []sample) string {
	ms := func(q float64) float64 { return float64(quantile(all, q)) / 1e6 }
	return fmt.Sprintf("p50 %.1f, p99 %.1f, max %.1f ms of %d", ms(0.5), ms(0.99), ms(1), len(all))
}

// verdict waits until the daemon has come to rest, prints the figures and judges them.
func (s *scene) verdict(length time.Duration) {
	s.t.Helper()
	t, w := s.t, s.watch
	var now figures
	for deadline := time.Now().Add(settleTime); ; time.Sleep(200 * time.Millisecond) {
		now = w.figures()
		if now.goroutines != 0 && now.goroutines <= w.base.goroutines+10 && now.files <= w.base.files+5 && now.rss-w.base.rss <= maxGrowth {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v there are %d goroutines, %d files and %d MiB, before the attack there were %d, %d and %d", settleTime,
				now.goroutines, now.files, now.rss>>20, w.base.goroutines, w.base.files, w.base.rss>>20)
			break
		}
	}
	var later []sample // of status, when all is over
	for range 100 {
		w.record(&later, "status afterwards", w.status)
	}
	if m := quantile(later, 0.95); m > maxMedian {
		t.Errorf("one in twenty answers to status took longer than %v when the attack was over", m)
	}
	peak, logged := largest(w.rss), w.logSize()-w.logStart
	t.Logf("status afterwards: %s", quantiles(later))
	t.Logf("status: %s", quantiles(w.answers))
	t.Logf("pings:  %s", quantiles(w.pings))
	t.Logf("memory: %d MiB before, %d at most, %d now", w.base.rss>>20, peak>>20, now.rss>>20)
	t.Logf("goroutines: %d before, %d now; files: %d, %d", w.base.goroutines, now.goroutines, w.base.files, now.files)
	t.Logf("log: %d KiB", logged>>10)
	for _, f := range w.failures {
		t.Error(f)
	}
	if m := quantile(w.answers, 0.5); m > maxMedian {
		t.Errorf("half of the answers to status took longer than %v", m)
	}
	if m := quantile(w.answers, 1); m > maxAnswer {
		t.Errorf("an answer to status took %v", m)
	}
	if w.missed*maxMissed > len(w.pings) {
		t.Errorf("%d of %d pings got no answer", w.missed, len(w.pings))
	}
	if peak-w.base.rss > maxPeak {
		t.Errorf("memory grew by %d MiB", (peak-w.base.rss)>>20)
	}
	if logged > maxLogBytes*int64(length.Seconds()+10) {
		t.Errorf("%d MiB were logged", logged>>20)
	}
	log, _ := os.ReadFile(s.honest.LogFile())
	if n := strings.Count(string(log), "Connection established with t"); n != 1 {
		t.Errorf("the honest neighbour connected %d times", n)
	}
	s.counted()
}

// counted looks whether the daemon has counted what it dropped.
func (s *scene) counted() {
	m := s.watch.metrics()
	var said []string
	for name, value := range m {
		if value > 0 && (strings.HasPrefix(name, "receptor_drops_total") || strings.HasPrefix(name, "receptor_route_updates_total") || strings.HasPrefix(name, "receptor_refused_total")) {
			said = append(said, fmt.Sprintf("%s=%.0f", strings.TrimPrefix(name, "receptor_"), value))
		}
	}
	slices.Sort(said)
	s.t.Logf("counted: %s", strings.Join(said, " "))
	if os.Getenv("ONLY") != "" {
		return
	}
	for _, name := range []string{`receptor_drops_total{cause="malformed"}`, `receptor_drops_total{cause="unknown_type"}`} {
		if m[name] == 0 {
			s.t.Errorf("%s is 0", name)
		}
	}
}
