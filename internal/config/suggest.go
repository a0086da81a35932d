package config

import (
	"fmt"
	"strings"
)

// didYouMean is a suggestion of the candidate nearest to what was written, or
// empty if none is near.
func didYouMean(written string, candidates []string) string {
	if c := nearest(written, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return ""
}

// nearest is the candidate most like what was written, or empty: one letter in
// three may differ, the first one only in long words, and a beginning of at
// least three letters counts as near.
func nearest(written string, candidates []string) string {
	w := strings.ToLower(strings.Trim(written, "-"))
	if w == "" || len(w) > maxSuggest {
		return ""
	}
	best, least := "", max(len(w)/3, 1)+1
	for _, c := range candidates {
		l := strings.ToLower(c)
		if written == c || len(w) < 6 && !strings.HasPrefix(l, w[:1]) {
			continue
		}
		d := 1
		if len(w) < 3 || !strings.HasPrefix(l, w) {
			d = distance(w, l)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// maxSuggest bounds the texts that are compared, in bytes: longer ones are not
// a misspelling of anything we know.
const maxSuggest = 64

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to get from a to b.
func distance(a, b string) int {
	rows := [3][]int{}
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	before, last, next := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
