package device

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgetether/tether/schema"
)

// errHostKey: the server is not the one that was pinned. No credential was
// sent to it (reliability T31).
var errHostKey = errors.New("the SFTP server's host key is not the expected one")

// target is where a log goes: the address, the credential, and the key that
// proves that it is the right server.
type target struct {
	address    string
	username   string
	auth       []ssh.AuthMethod
	checkKey   ssh.HostKeyCallback
	algorithms []string // of the keys that would be accepted, so that the server shows one of those
	direct     bool     // one file, written under its own name
	dial       dialFunc
}

// orderTarget is the one that came with an order: a credential for one file.
func orderTarget(t *schema.SFTPTarget) (target, error) {
	key, err := parseHostKey(t.HostKey)
	if err != nil {
		return target{}, fmt.Errorf("sftp.host_key: %w", err)
	}
	return target{
		address: t.Address, username: t.Username, auth: []ssh.AuthMethod{ssh.Password(t.Password)},
		checkKey: ssh.FixedHostKey(key), algorithms: algorithms(key.Type()), direct: true,
	}, nil
}

// configuredTarget is the device's own.
func configuredTarget(c *SFTPConfig) (target, error) {
	t := target{address: c.Address, username: c.Username}
	if err := t.authenticateBy(c); err != nil {
		return target{}, err
	}
	if c.HostKey != "" {
		key, err := parseHostKey(c.HostKey)
		if err != nil {
			return target{}, fmt.Errorf("SFTP.HostKey: %w", err)
		}
		t.checkKey, t.algorithms = ssh.FixedHostKey(key), algorithms(key.Type())
		return t, nil
	}
	check, err := knownhosts.New(c.KnownHosts)
	if err != nil {
		return target{}, fmt.Errorf("SFTP.KnownHosts: %w", err)
	}
	t.checkKey, t.algorithms = check, knownAlgorithms(check, c.Address)
	return t, nil
}

func (t *target) authenticateBy(c *SFTPConfig) error {
	if c.KeyFile == "" {
		t.auth = []ssh.AuthMethod{ssh.Password(c.Password)}
		return nil
	}
	text, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return fmt.Errorf("SFTP.KeyFile: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return fmt.Errorf("SFTP.KeyFile: %w", err)
	}
	t.auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	return nil
}

// parseHostKey reads a public key in the form of authorized_keys.
func parseHostKey(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, errors.New("must be a public key in the form of authorized_keys")
	}
	return key, nil
}

// algorithms are those that a key of this type signs with.
func algorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// knownAlgorithms finds which types of key a known_hosts file has for an
// address: it is shown a key that it cannot know, and says what it wanted. Of
// an unknown host it wants none, and then any key is shown and refused.
func knownAlgorithms(check ssh.HostKeyCallback, address string) (algos []string) {
	var wanted *knownhosts.KeyError
	if errors.As(check(address, &net.TCPAddr{}, noKey{}), &wanted) {
		for _, known := range wanted.Want {
			algos = append(algos, algorithms(known.Key.Type())...)
		}
	}
	return algos
}

// noKey is a key that no file has.
type noKey struct{}

// Type is no type of key that there is.
func (noKey) Type() string { return "none" }

// Marshal is equal to no key's.
func (noKey) Marshal() []byte { return nil }

// Verify accepts no signature.
func (noKey) Verify([]byte, *ssh.Signature) error { return errHostKey }
