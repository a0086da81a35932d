// Package pki is all that receptor does with certificates: the node names in them, the tools that make them, the
// settings of TLS connections and what these verify, and key pairs that are read anew when their files change.
//
// A node name in a certificate is an entry of its subject alternative name: an otherName of type NodeIDType whose value
// is a UTF8String (RFC 5280, section 4.2.1.6), compared byte by byte. There may be several.
package pki
