package config

import (
	"math"
	"net/netip"
	"strings"
	"time"
)

// Types of single keys, mostly texts with a rule.
var (
	subnetType = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asSubnet(v) }}
	routesType = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asRoutes(v) }}
	timeType   = &keyType{"string", convertTime}
	bitsType   = &keyType{"int", func(c *conversion, v value) (any, bool) { return c.asBits(v) }}
	dictType   = &keyType{"JSON dict with string keys", func(c *conversion, v value) (any, bool) { return c.asDict(v) }}
	authType   = nameType("invalid AuthMethod: %s", AuthKubeconfig, AuthInCluster, AuthRuntime)
	streamType = nameType("stream mode must be logger or tcp, not %s", StreamLogger, StreamTCP)
)

// nameType is the type of a key that takes one of some names, in any letter
// case.
func nameType(wrong string, names ...string) *keyType {
	return &keyType{"string", func(c *conversion, v value) (any, bool) {
		s, ok := c.asText(v)
		if !ok {
			return nil, false
		}
		for _, n := range names {
			if strings.EqualFold(n, s) {
				return n, true
			}
		}
		return nil, c.oneOf(wrong, s, names...)
	}}
}

// linkBits is how long the address of a network of two nodes is.
const linkBits = 30

// asSubnet takes the local network of an IP router.
func (c *conversion) asSubnet(v value) (netip.Prefix, bool) {
	s, ok := c.asText(v)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, c.fail("", "could not parse %s as a CIDR address", s)
	case !p.Addr().Is4():
		return p, c.fail("", "local network %s must be IPv4", s)
	case p.Bits() != linkBits:
		return p, c.fail("", "local network %s must be a /30 CIDR", s)
	}
	return p, true
}

// asRoutes takes networks with commas between them.
func (c *conversion) asRoutes(v value) ([]netip.Prefix, bool) {
	s, ok := c.asText(v)
	if !ok || s == "" {
		return nil, ok
	}
	var routes []netip.Prefix
	for r := range strings.SplitSeq(s, ",") {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			hint := ""
			if strings.ContainsAny(r, " \t") {
				hint = "write commas without blanks"
			}
			return nil, c.fail(hint, "could not parse %s as a CIDR address", r)
		}
		routes = append(routes, p)
	}
	return routes, true
}

// convertTime takes a point in time. An empty text is as if the key were not
// there.
func convertTime(c *conversion, v value) (any, bool) {
	s, ok := c.asText(v)
	if !ok {
		return nil, false
	}
	if s == "" {
		return nil, true
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, c.fail("write it as in 2026-01-02T15:04:05Z", "%q is not a time", s)
	}
	return t, true
}

// Bounds on the size of RSA keys: less is refused by what makes them and by TLS, more
// takes minutes.
const (
	minKeyBits = 1024
	maxKeyBits = 16384
)

// asBits takes the size of an RSA key; 0 stands for the usual one.
func (c *conversion) asBits(v value) (int, bool) {
	n, ok := c.asInt(v)
	switch {
	case !ok:
		return 0, false
	case n != 0 && n < minKeyBits:
		return 0, c.fail("2048 is usual", "rsa: key too small: %d bits", n)
	case n > maxKeyBits:
		return 0, c.fail("2048 is usual", "a key of %d bits: at most %d are possible", n, maxKeyBits)
	}
	return int(n), true
}

// asDict takes a map, or a JSON map as text.
func (c *conversion) asDict(v value) (map[string]any, bool) {
	if v.kind == kindNull {
		return map[string]any{}, true
	}
	v, ok := c.fromJSON(v, "{", "a map")
	if !ok {
		return nil, false
	}
	if v.kind != kindDict {
		return nil, c.mustBe("a map", v)
	}
	x, ok := c.native(v)
	if !ok {
		return nil, false
	}
	return x.(map[string]any), true
}

// fromJSON reads a value that is given as JSON in a text that begins as said.
// Other values are returned as they are.
func (c *conversion) fromJSON(v value, begin, what string) (value, bool) {
	if v.kind != kindText || !strings.HasPrefix(v.text, begin) {
		return v, true
	}
	var r report
	x := readJSON(v, &r)
	if len(r.problems) > 0 {
		return v, c.fail("", "not a JSON text of %s: %s", what, r.problems[0].Text)
	}
	return x, true
}

// native turns a value into what encoding/json would make of it, with integers
// as such.
func (c *conversion) native(v value) (any, bool) {
	switch v.kind {
	case kindNull:
		return nil, true
	case kindBool:
		return v.bool, true
	case kindInt:
		return v.int, true
	case kindFloat, kindHuge:
		if math.IsNaN(v.float) || math.IsInf(v.float, 0) {
			return nil, c.fail("", "%s is not a number that JSON has", v.text)
		}
		return v.float, true
	case kindText:
		return v.text, true
	case kindList:
		list := make([]any, len(v.list))
		for i, e := range v.list {
			x, ok := c.native(e)
			if !ok {
				return nil, false
			}
			list[i] = x
		}
		return list, true
	}
	dict := make(map[string]any, len(v.dict))
	for _, e := range v.dict {
		if e.key.kind != kindText {
			return nil, c.fail(quoteHint(e.key), "the names in a map must be texts, not %s", e.key.describe())
		}
		x, ok := c.native(e.value)
		if !ok {
			return nil, false
		}
		dict[e.key.text] = x
	}
	return dict, true
}
