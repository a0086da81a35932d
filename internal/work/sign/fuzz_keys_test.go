package sign

import "testing"

// FuzzKeys: whatever is in the file of a key, it is read or refused; a key that is read
// can be used.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{
		"", "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n-----END PUBLIC KEY-----\n",
		"-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END X-----\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if s, err := parsePrivate(content); err == nil {
			if _, err := algorithms(s.Public()); err != nil {
				t.Errorf("a private key of no use: %v", err)
			}
		}
		if key, err := parsePublic(content); err == nil {
			if _, err := algorithms(key); err != nil {
				t.Errorf("a public key of no use: %v", err)
			}
		}
	})
}
