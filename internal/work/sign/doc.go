// Package sign makes and verifies the signatures of requests about work (spec
// work 9).
//
// A signature is a JSON Web Token. The node that asks makes it with a private
// key, for the one node that is to check it with the public key. It comes in two
// forms.
//
// The form of ansible/receptor says for which node it is, and until when:
//
//	{"aud":["executor01"],"exp":1767225600}
//
// Whoever sees such a token can use it for any request to that node until it
// expires. Between nodes of ours a token also says what it is for:
//
//	{"iss":"controller01","aud":["executor01"],"exp":1767225600,"jti":"c2VjcmV0IHJhbmRvbSBpZA",
//	 "receptor":{"command":"submit","unit":"Ab3dEf9h","worktype":"cat","params":"DIGEST","payload":"DIGEST"}}
//
//	iss       node that asks
//	jti       differs in each token, so that one that comes twice is noticed
//	command   the request: submit, cancel, release, follow ..., or payload; see Work
//	unit      id of the unit on the node that checks
//	worktype, params, payload, stream, stderr    of a submit
//
// A DIGEST is SHA-256 in base64url without padding: of the payload's bytes, or of
// the parameters, sorted by name, each name and value preceded by its length in
// bytes (8 bytes, big-endian).
//
// # Algorithms
//
// The key decides, never the token alone:
//
//	RSA          signs RS512; RS256, RS384, RS512, PS256, PS384 and PS512 are accepted
//	ECDSA        ES256 with P-256, ES384 with P-384, ES512 with P-521
//	Ed25519      EdDSA
//
// # Key files
//
// A key file is PEM with one block: for a signature PRIVATE KEY (PKCS#8), RSA
// PRIVATE KEY or EC PRIVATE KEY, for its verification PUBLIC KEY (PKIX). It is read
// at each use, so a key can be replaced at any time.
//
// No error of this package holds a key or a token.
package sign
