package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Types for what is listened on and connected to.
var (
	portType        = &keyType{"int", func(c *conversion, v value) (any, bool) { return c.asPort(v) }}
	bindaddrType    = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asBindAddr(v) }}
	addressType     = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asAddress(v) }}
	localListenType = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asLocalListen(v) }}
	listenType      = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asListen(v) }}
	urlType         = &keyType{"string", func(c *conversion, v value) (any, bool) { return c.asURL(v) }}
)

const maxPort = 65535

func (c *conversion) asPort(v value) (int, bool) {
	n, ok := c.asInt(v)
	if ok && (n < 0 || n > maxPort) {
		return 0, c.fail("", "port %d is not between 0 and %d", n, maxPort)
	}
	return int(n), ok
}

// asBindAddr takes the host part of an address to bind.
func (c *conversion) asBindAddr(v value) (string, bool) {
	s, ok := c.asText(v)
	if !ok || s == "" {
		return s, ok
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		if ip := s[1 : len(s)-1]; net.ParseIP(strings.SplitN(ip, "%", 2)[0]) == nil {
			return "", c.fail("", "%s is not an IPv6 address", s)
		}
		return s, true
	}
	if strings.Contains(s, ":") {
		if net.ParseIP(strings.SplitN(s, "%", 2)[0]) != nil {
			return "", c.fail(fmt.Sprintf("write %q", "["+s+"]"), "an IPv6 address must stand in brackets")
		}
		return "", c.fail("the port has its own key", "%q is not an address without a port", s)
	}
	return s, true
}

// asAddress takes the address of something to connect to.
func (c *conversion) asAddress(v value) (string, bool) {
	s, ok := c.asText(v)
	if !ok {
		return "", false
	}
	if strings.Contains(s, "://") {
		return "", c.fail("", "%q is a URL; an address is HOST:PORT", s)
	}
	if err := checkAddress(s); err != nil {
		return "", c.fail("an address is HOST:PORT", "%v", err)
	}
	return s, true
}

// asListen takes PORT, which means all addresses, or HOST:PORT; empty is none.
func (c *conversion) asListen(v value) (string, bool) {
	s, ok := c.asText(v)
	if !ok || s == "" {
		return s, ok
	}
	return c.bindTo("0.0.0.0", s)
}

// asLocalListen takes PORT or :PORT, which mean this machine alone, or
// HOST:PORT.
func (c *conversion) asLocalListen(v value) (string, bool) {
	s, ok := c.asText(v)
	if !ok {
		return "", false
	}
	return c.bindTo("127.0.0.1", strings.TrimPrefix(s, ":"))
}

// bindTo takes PORT, at a host, or HOST:PORT.
func (c *conversion) bindTo(host, s string) (string, bool) {
	if !strings.Contains(s, ":") {
		s = net.JoinHostPort(host, s)
	}
	if err := checkAddress(s); err != nil {
		return "", c.fail("write PORT or HOST:PORT", "%v", err)
	}
	return s, true
}

// checkAddress checks HOST:PORT; the port may be the name of a service.
func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return err // `address X: missing port in address`
	}
	n, err := strconv.Atoi(port)
	switch {
	case err == nil && n >= 0 && n <= maxPort:
		return nil
	case err != nil && port != "" && isLetter(port[0]):
		return nil // a service name, to be looked up by who uses it
	}
	return fmt.Errorf("address %s: invalid port", s)
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// Redacted is an address for logs and errors: without a password, if it is a URL
// that has one, whether it can be parsed or not.
func Redacted(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	host := rest[:cmp.Or(strings.IndexAny(rest, "/?#")+1, len(rest)+1)-1]
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		return address
	}
	user, _, hidden := strings.Cut(host[:at], ":")
	if !hidden {
		return address
	}
	return scheme + "://" + user + ":xxxxx" + rest[at:]
}

// asURL takes the URL of a WebSocket listener.
func (c *conversion) asURL(v value) (string, bool) {
	const hint = "a URL is ws://HOST:PORT/PATH or wss://HOST:PORT/PATH"
	s, ok := c.asText(v)
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the rest repeats the address
		}
		return "", c.fail(hint, "address %s is not a valid URL: %v", Redacted(s), err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return "", c.fail(hint, "address %s is not the URL of a WebSocket", Redacted(s))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n > maxPort {
			return "", c.fail(hint, "address %s: invalid port", u.Redacted())
		}
	}
	return s, true
}
