package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/receptor-go/receptor/internal/mesh"
)

// encoded is an answer that is JSON already, and ends with LF. It is shared by
// the sessions to which it goes, and never changed.
type encoded []byte

// Bounds of answers that are kept.
const (
	maxAnswers = 4 // for different members
	answerAge  = time.Second
	// answerWorth is for how many times the time that it took to make an answer, beyond
	// freeAnswer, it is given although something has changed.
	answerWorth = 4
	freeAnswer  = 5 * time.Millisecond
	// smallAnswer is how long one may be, in bytes, to be kept beyond answerAge, when
	// it is of no use any more.
	smallAnswer = 64 << 10
)

// answers are the last ones to status. To put one together takes milliseconds in a
// mesh of thousands of nodes, and megabytes, so that those who ask at the same time,
// and those who ask again while nothing has changed, get the same one. In a large mesh
// something always changes: there an answer is good for as long as keeps the work at a
// part of the time. An answer has the times of this node's own advertisements in it,
// which may be as old as it is.
type answers struct {
	mu   sync.Mutex // held while an answer is made: others who ask want the same
	kept map[string]answer
}

type answer struct {
	turn mesh.Turn
	made time.Time
	cost time.Duration // of making it
	line encoded
}

func (a *answers) get(turn func() mesh.Turn, fields []string, reply func() map[string]any) (encoded, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var known []string
	for _, f := range append(statusFields(), certificatesField) {
		if slices.Contains(fields, f) {
			known = append(known, f)
		}
	}
	key, now, before := strings.Join(known, " "), time.Now(), turn()
	keep := !slices.Contains(fields, certificatesField) // files may change at any time
	if k, ok := a.kept[key]; ok && keep {
		age := now.Sub(k.made)
		if age < answerAge && (k.turn == before || age < answerWorth*(k.cost-freeAnswer)) {
			return k.line, nil
		}
	}
	line, err := json.Marshal(reply())
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	line = append(line, '\n')
	if !keep {
		return line, nil
	}
	if a.kept == nil || len(a.kept) >= maxAnswers {
		a.kept = make(map[string]answer)
	}
	a.kept[key] = answer{before, now, time.Since(now), line}
	if len(line) > smallAnswer {
		time.AfterFunc(answerAge, func() { a.drop(key, now) })
	}
	return line, nil
}

// drop lets go of an answer unless a later one has taken its place.
func (a *answers) drop(key string, made time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept[key].made.Equal(made) {
		delete(a.kept, key)
	}
}
