package work

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxTokens is how many used tokens are remembered; when none of them has
	// expired, further ones have to wait.
	maxTokens = 1 << 18
	// tokenGrace is for how long after its end a token is still remembered: a
	// clock that is set back must not make it good again.
	tokenGrace = 10 * time.Minute
	// fileTokens, beside the units, has a line for each used token: until when it
	// is remembered, in seconds since 1970, and its name in hexadecimal.
	fileTokens = ".tokens"
)

// tokenName tells one token from another.
type tokenName [16]byte

// tokens remembers which tokens were used, so that each is good once. It outlives
// the daemon, though not a power cut.
type tokens struct {
	s   *store
	max int

	mu    sync.Mutex // held over the writing of a line: the order of the lines is that of the uses
	until map[tokenName]int64
	sweep int // when so many are known those that have expired are looked for
	next  int64
	lines int // in the file
}

// loadTokens reads what the last daemon remembered.
func loadTokens(s *store) *tokens {
	k := &tokens{s: s, max: maxTokens, until: make(map[tokenName]int64), sweep: 1024}
	b, err := s.read("", fileTokens, 4*maxTokens*64)
	if err != nil && !os.IsNotExist(err) {
		s.log.Warn("signatures that were used cannot be read: until they expire they can be used again", "err", err)
	}
	now := time.Now().Unix()
	for line := range strings.Lines(string(b)) {
		k.lines++
		at, hexed, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		until, err := strconv.ParseInt(at, 10, 64)
		name, e := hex.DecodeString(hexed)
		if err == nil && e == nil && len(name) == len(tokenName{}) && until > now && len(k.until) < k.max {
			k.until[tokenName(name)] = until
		}
	}
	return k
}

// nameToken makes the name of a token out of who made it and its id.
func nameToken(from, id string) tokenName {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(from), from, id))
	return tokenName(sum[:len(tokenName{})])
}

// tokenUse is what became of the use of a token.
type tokenUse int

const (
	tokenFresh tokenUse = iota // it was never used before
	tokenUsed
	tokensFull // too many are remembered; it counts as not used
)

// use notes the use of a token that expires then.
func (k *tokens) use(name tokenName, expires time.Time) tokenUse {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now().Unix()
	until := expires.Add(tokenGrace).Unix()
	if known, ok := k.until[name]; ok && known > now {
		return tokenUsed
	}
	if len(k.until) >= k.sweep || len(k.until) >= k.max && now >= k.next {
		k.sweepLocked(now)
	}
	if len(k.until) >= k.max {
		return tokensFull
	}
	k.until[name] = until
	if err := k.writeLocked(name, until); err != nil { // no reason to refuse: cancel and release make room
		k.s.log.Warn("a signature that was used could not be noted on disk", "err", err)
	}
	return tokenFresh
}

// sweepLocked forgets tokens that have expired.
func (k *tokens) sweepLocked(now int64) {
	k.next = 1<<63 - 1
	for name, until := range k.until {
		if until <= now {
			delete(k.until, name)
		} else {
			k.next = min(k.next, until)
		}
	}
	k.sweep = min(2*len(k.until)+1024, k.max)
	if len(k.until) >= k.max { // nothing to be found before k.next
		k.sweep = k.max + 1
	}
}

func (k *tokens) writeLocked(name tokenName, until int64) error {
	path := filepath.Join(k.s.dir, fileTokens)
	if k.lines >= 2*len(k.until)+1024 {
		var b []byte
		for name, until := range k.until {
			b = appendToken(b, name, until)
		}
		k.lines = len(k.until)
		return k.s.replace(path, b)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// The line feed before it ends what a full disk has left of a line.
	k.lines += 2
	if _, err := f.Write(appendToken([]byte("\n"), name, until)); err != nil {
		return err
	}
	return k.s.step("write", path)
}

func appendToken(b []byte, name tokenName, until int64) []byte {
	return fmt.Appendf(b, "%d %x\n", until, name[:])
}
