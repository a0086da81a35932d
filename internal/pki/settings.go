package pki

import (
	"crypto/tls"
	"log/slog"
)

// ServerConfig is a section tls-server.
type ServerConfig struct {
	Name              string // of the section
	Node              string // our ID, which the certificate has to name unless SkipNames
	Cert, Key         string // PEM files
	RequireClientCert bool
	ClientCAs         string   // PEM file, or empty
	Pins              [][]byte // SHA-256 or SHA-512 of client certificates; none: no pinning
	SkipNames         bool     // node names are not compared, neither ours at the start nor those of neighbours
	MinTLS13          bool
	Logger            *slog.Logger // nil discards
}

// ClientConfig is a section tls-client.
type ClientConfig struct {
	Name               string
	Node               string   // our ID, which the certificate has to name unless SkipNames
	Cert, Key          string   // PEM files, or both empty
	RootCAs            string   // PEM file; empty is what the system trusts
	Pins               [][]byte // SHA-256 or SHA-512 of server certificates; none: no pinning
	InsecureSkipVerify bool     // of a server nothing is verified but the pins
	SkipNames          bool
	MinTLS13           bool
	Logger             *slog.Logger // nil discards
}

// protocol is what connections may speak (spec certificates 2). Sessions are never resumed: each handshake verifies
// anew, by the files of its time.
func protocol(minTLS13 bool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
	if !minTLS13 {
		c.MinVersion = tls.VersionTLS12
		c.CurvePreferences = []tls.CurveID{tls.CurveP521, tls.CurveP384, tls.CurveP256}
		c.CipherSuites = []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		}
	}
	return c
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
