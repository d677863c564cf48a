package logdrop

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// hostKey reads the server's private key, or makes one where there is no
// file. A key that others can read is no secret and is refused.
func hostKey(name string) (ssh.Signer, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return makeHostKey(name)
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: others must not read it (chmod 600)", name, mode)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if key.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("%s: want an ed25519 key, not %s", name, key.PublicKey().Type())
	}
	return key, nil
}

// makeHostKey puts a new key under its name whole or not at all: devices pin
// it, and a torn file would need a person to mend.
func makeHostKey(name string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "tether log receiver")
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".hostkey-*") // mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return ssh.NewSignerFromKey(private)
}
