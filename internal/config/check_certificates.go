package config

import "net"

// certificates checks what is asked of the certificate tools.
func (c *checker) certificates() {
	f := c.file
	for _, s := range f.CertInits {
		c.commonName(s.Origin, s.CommonName)
		c.notEmpty(s.Origin, "outcert", s.OutCert)
		c.notEmpty(s.Origin, "outkey", s.OutKey)
		if !s.NotBefore.IsZero() && !s.NotAfter.IsZero() && !s.NotBefore.Before(s.NotAfter) {
			c.warn(s.Origin, "notafter", "is not after notbefore: the certificate is never valid")
		}
	}
	for _, s := range f.CertRequests {
		c.request(s)
	}
	for _, s := range f.CertSignings {
		c.notEmpty(s.Origin, "req", s.Req)
		c.notEmpty(s.Origin, "cacert", s.CACert)
		c.notEmpty(s.Origin, "cakey", s.CAKey)
		c.notEmpty(s.Origin, "outcert", s.OutCert)
		if !s.NotBefore.IsZero() && !s.NotAfter.IsZero() && !s.NotBefore.Before(s.NotAfter) {
			c.warn(s.Origin, "notafter", "is not after notbefore: the certificate is never valid")
		}
	}
}

func (c *checker) commonName(o Origin, name string) {
	if name == "" {
		c.wrong(o, "commonname", "", "must provide CommonName")
	}
}

// request checks a certificate request: which keys go together, and the names.
func (c *checker) request(s CertRequest) {
	o := s.Origin
	c.commonName(o, s.CommonName)
	c.notEmpty(o, "outreq", s.OutReq)
	switch {
	case s.InKey == "" && s.OutKey == "":
		c.wrong(o, "outkey", "", "must provide either InKey or OutKey")
	case s.InKey != "" && s.OutKey != "":
		c.wrong(o, "outkey", "", "cannot use both InKey and OutKey")
	case s.OutKey != "" && s.Bits == 0:
		c.wrong(o, "bits", "2048 is usual", "must specify key bits when creating a new key")
	case s.InKey != "" && s.Bits != 0:
		c.wrong(o, "bits", "", "cannot specify key bits when reading an already-existing key")
	}
	for _, ip := range s.IPAddresses {
		if net.ParseIP(ip) == nil {
			c.wrong(o, "ipaddress", "", "invalid IP address: %s", ip)
		}
	}
	for _, id := range s.NodeIDs {
		if id == "" || len(id) > maxNodeID {
			c.wrong(o, "nodeid", "", "node ID of %d bytes: there must be 1 to %d", len(id), maxNodeID)
		}
	}
}
