package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/receptor-go/receptor/internal/config"
)

// since takes what was written, without level and time.
func (w *writes) since() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for line := range strings.Lines(strings.Join(w.all, "")) {
		lines = append(lines, logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))[2])
	}
	w.all = nil
	return lines
}

// Ports of connections and times do not make a failure another one.
func TestPassingPartsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		for i := range 3 {
			l.Warn("websocket server", "err", fmt.Sprintf("http: TLS handshake error from 127.0.0.1:%d: x", 40000+i))
			l.Warn("link dial failed", "err", fmt.Sprintf("certificate has expired: current time 2026-01-01T00:00:0%dZ is after 2025", i), "retry", true)
		}
		expect(t, &w, "http: TLS handshake error from 127.0.0.1:40000: x",
			"Backend connection failed (will retry): certificate has expired: current time 2026-01-01T00:00:00Z is after 2025")
	})
}

func repeating(w *writes) (*slog.Logger, *repeats) {
	h := newRepeatHandler(newLogHandler(w, config.LogText, slog.LevelDebug))
	return slog.New(h), h.seen
}

func expect(t *testing.T, w *writes, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := w.since(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A failure is logged when it begins, then once a minute with a count, and when
// it is over.
func TestRepeatedFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		fail := func(port int) {
			l.Warn("link rejected by peer", "link", "x", "err", fmt.Errorf("read 127.0.0.1:%d->127.0.0.1:1: reset", port))
		}
		const text = "Received a rejection message from peer."
		fail(1)
		expect(t, &w, text)
		for i := range 11 {
			time.Sleep(5 * time.Second)
			fail(i)
		}
		expect(t, &w)
		time.Sleep(5 * time.Second)
		expect(t, &w, text+" repeated=10")
		fail(1)
		time.Sleep(repeatInterval)
		expect(t, &w, text) // one: the same line again
		time.Sleep(2 * repeatInterval)
		expect(t, &w) // over, and nothing new to say
		fail(1)
		expect(t, &w, text)

		// The link comes up: what was passed over is said first.
		fail(1)
		fail(1)
		l.Info("link up", "link", "y", "peer", "c")
		expect(t, &w, "Connection established with c")
		l.Info("link up", "link", "x", "peer", "b")
		expect(t, &w, text+" repeated=1", "Connection established with b")
		fail(1)
		expect(t, &w, text)
		fail(1)
		seen.close()
		expect(t, &w, text)
		fail(1)
		expect(t, &w, text)
	})
}

// What differs is logged, and so is what is no failure or what somebody asked for.
func TestDifferentFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		for range 2 {
			l.Warn("m", "a", 1)
			l.Error("m", "a", 2)
			l.With("b", 1).Warn("m")
			l.WithGroup("g").Warn("m", "b", 1)
			l.Warn("other")
		}
		expect(t, &w, "m a=1", "m a=2", "m b=1", "m g.b=1", "other")
		for range 2 {
			l.Info("m")
			l.Debug("m")
			l.Warn("reload failed", "err", errors.New("x"))
		}
		expect(t, &w, "m", "m", "Reload not successful: x", "m", "m", "Reload not successful: x")
	})
}

// Failures of one kind that are all different are logged up to a bound, and counted
// beyond it. Each of them was logged once.
func TestManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		for i := range 10 * maxFailures {
			l.Warn("m", "a", i)
		}
		if got := len(w.since()); got != maxFailures+1 { // the first of those that are counted, too
			t.Errorf("%d lines, want %d", got, maxFailures+1)
		}
		l.Warn("other")
		expect(t, &w, "other")
		time.Sleep(repeatInterval)
		expect(t, &w, fmt.Sprintf("m a=%d repeated=%d", 10*maxFailures-1, 9*maxFailures-2))
		l.Warn("m", "a", 1)
		expect(t, &w, "m a=1")
		time.Sleep(3 * repeatInterval)
		synctest.Wait()
		if len(seen.known) != 0 || seen.timer != nil {
			t.Errorf("%d are known still", len(seen.known))
		}
	})
}

// There is a bound on the failures that are known, beyond which all of them are logged.
func TestManyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		for range 2 {
			for i := range maxRepeats + 10 {
				l.Warn(fmt.Sprint("m", i))
			}
		}
		if got := len(w.since()); got != maxRepeats+20 {
			t.Errorf("%d lines, want %d", got, maxRepeats+20)
		}
	})
}

// News of one kind are bounded too.
func TestManyNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		l, seen := repeating(&w)
		defer seen.close()
		for i := range 3 * maxNews {
			l.Info("link up", "peer", i)
		}
		if got := len(w.since()); got != maxNews+1 {
			t.Errorf("%d lines, want %d", got, maxNews+1)
		}
		time.Sleep(repeatInterval)
		expect(t, &w, fmt.Sprintf("Connection established with %d repeated=%d", 3*maxNews-1, 2*maxNews-2))
	})
}
