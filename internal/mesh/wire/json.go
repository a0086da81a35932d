package wire

import (
	"encoding/json"
	"math"
	"strconv"
)

// appendString appends s as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			// A string always marshals: invalid UTF-8 is replaced.
			q, _ := json.Marshal(s)
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain tells that encoding/json writes c as it is. Non-ASCII bytes are not
// among them, because they may be part of what it replaces.
func plain(c byte) bool {
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

// appendFloat appends a finite number as encoding/json writes it.
func appendFloat(b []byte, f float64) []byte {
	if n := int64(f); f == float64(n) && n > -1e15 && n < 1e15 && (n != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(b, n, 10)
	}
	q, _ := json.Marshal(f)
	return append(b, q...)
}

// appendBool appends true or false.
func appendBool(b []byte, v bool) []byte {
	return strconv.AppendBool(b, v)
}
