package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// secret is a text that no formatting shows.
type secret string

// String hides the secret.
func (secret) String() string { return "(secret)" }

// GoString hides the secret.
func (secret) GoString() string { return "(secret)" }

// loadSecrets reads what the file only points to. TETHER_PASSWORD stands in
// where it names no password at all.
func (c *config) loadSecrets(lookup func(string) string) error {
	if err := loadSecret(&c.Password, c.PasswordFile); err != nil {
		return fmt.Errorf("password_file: %w", err)
	}
	if c.Password == "" {
		c.Password = secret(lookup("TETHER_PASSWORD"))
	}
	if c.Password == "" {
		return errors.New("password: required, as password, password_file or TETHER_PASSWORD")
	}
	if c.SFTP == nil {
		return nil
	}
	if err := loadSecret(&c.SFTP.Password, c.SFTP.PasswordFile); err != nil {
		return fmt.Errorf("sftp.password_file: %w", err)
	}
	return nil
}

func loadSecret(into *secret, name string) error {
	if name == "" {
		return nil
	}
	if err := checkPrivate(name); err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if *into = secret(strings.TrimRight(string(text), "\r\n")); *into == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return nil
}

// checkPrivate refuses a file with a secret that everybody may read.
func checkPrivate(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("%s holds a secret and has mode %04o: others must have no access (chmod o= %s)", name, mode, name)
	}
	return nil
}
