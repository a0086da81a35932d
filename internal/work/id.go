package work

import "crypto/rand"

// idLength and idLetters make up the id of a unit (spec work 2.1).
const (
	idLength  = 8
	idLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// newID draws an id.
func newID() string {
	var id [idLength]byte
	var random [4 * idLength]byte
	for n := 0; n < idLength; {
		rand.Read(random[:]) // never fails
		for _, b := range random {
			// 248 is the largest multiple of 62 in a byte: no letter is likelier than another.
			if b < 248 && n < idLength {
				id[n] = idLetters[b%62]
				n++
			}
		}
	}
	return string(id[:])
}

// validID tells that id may name a unit. What else is in a request is never
// made part of a path.
func validID(id string) bool {
	if len(id) != idLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
