package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Types of the keys that limit work. None of them is known to
// ansible/receptor.
var (
	countType  = &keyType{"int", func(c *conversion, v value) (any, bool) { return c.asCount(v) }}
	spanType   = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asSpan(v) }}
	sizeType   = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asSize(v) }}
	stderrType = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asStderr(v) }}
)

// asCount takes a number of things. A fraction is a mistake, not a habit of old
// files.
func (c *conversion) asCount(v value) (int, bool) {
	if v.kind == kindFloat && v.float != math.Trunc(v.float) {
		return 0, c.fail("", "%s is not an integer", v.text)
	}
	n, ok := c.asInt(v)
	if ok && (n < 0 || n > math.MaxInt32) {
		return 0, c.fail("", "%d is not between 0 and %d", n, math.MaxInt32)
	}
	return int(n), ok
}

// scalarText takes a text or a number as it was written.
func (c *conversion) scalarText(what string, v value) (string, bool) {
	switch v.kind {
	case kindText, kindInt, kindFloat, kindHuge:
		return v.text, true
	}
	return "", c.mustBe(what, v)
}

// day is what a d stands for in durations.
const day = 24 * time.Hour

// asSpan takes a duration that may begin with days of 24 hours.
func (c *conversion) asSpan(v value) (time.Duration, bool) {
	s, ok := c.scalarText("a duration", v)
	if !ok {
		return 0, false
	}
	var whole time.Duration
	rest := s
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange) || n >= uint64(math.MaxInt64/day):
			return 0, c.fail("leave the key out for no limit", "%q is too long", s)
		case err == nil && after == "":
			return time.Duration(n) * day, true
		case err == nil:
			whole, rest = time.Duration(n)*day, after
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		hint := "valid examples include 7d, 1d12h, 1.5h, 30m and 30m10s"
		if _, err := strconv.Atoi(s); err == nil {
			hint = fmt.Sprintf("a unit is missing: did you mean %q?", s+"s")
		}
		return 0, c.fail(hint, "%q is not a duration", s)
	}
	if d < 0 || whole+d < 0 {
		return 0, c.fail("", "%q is not a duration that can be waited for", s)
	}
	return whole + d, true
}

// sizeUnits are the suffixes of sizes, in lower case.
var sizeUnits = map[string]int64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

var size = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)

// asSize takes a number of bytes with or without a suffix: K, M and G count in
// thousands, KiB, MiB and GiB in steps of 1024.
func (c *conversion) asSize(v value) (int64, bool) {
	s, ok := c.scalarText("a size", v)
	if !ok {
		return 0, false
	}
	if v.kind == kindInt { // written as 0x or 1_000 too
		s = strconv.FormatInt(v.int, 10)
	}
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0, c.fail("valid examples include 1000000, 10M and 64MiB", "%q is not a size", s)
	}
	unit, ok := sizeUnits[strings.ToLower(m[2])]
	if !ok {
		return 0, c.fail("known units: K, M, G, KiB, MiB, GiB", "%q is not a size: unknown unit %q", s, m[2])
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, c.fail("leave the key out for no limit", "%q is too large", s)
	}
	return n * unit, true
}

// asStderr takes where error output goes, in any letter case: true is separate.
func (c *conversion) asStderr(v value) (bool, bool) {
	s, ok := c.asText(v)
	if !ok {
		return false, false
	}
	switch strings.ToLower(s) {
	case "mixed":
		return false, true
	case "separate":
		return true, true
	}
	return false, c.oneOf("%q is not a way to keep error output", s, "mixed", "separate")
}
