package device

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
)

// tokenFile is the credential of the last login as it lies in StateDir, with
// what it belongs to: another server or another device is never shown it.
type tokenFile struct {
	URL      string `json:"url"`
	SN       string `json:"sn"`
	Model    string `json:"model"`
	DeviceID string `json:"device_id"`
	Token    string `json:"token"`
	Expires  int64  `json:"token_expires_time"`
}

// belongs says whether the credential is one of cfg's device on cfg's server.
func (t tokenFile) belongs(cfg *Config) bool {
	return t.Token != "" && t.URL == cfg.URL && t.SN == cfg.SN && t.Model == cfg.Model &&
		(cfg.DeviceID == "" || cfg.DeviceID == t.DeviceID)
}

func tokenPath(dir string) string { return filepath.Join(dir, "token.json") }

// loadToken reads the credential of the last login. A file that is missing,
// torn or another device's is no credential: the password serves.
func loadToken(cfg *Config) tokenFile {
	data, err := os.ReadFile(tokenPath(cfg.StateDir))
	if err != nil {
		return tokenFile{}
	}
	t, err := parseToken(data)
	if err != nil || !t.belongs(cfg) {
		return tokenFile{}
	}
	return t
}

func parseToken(data []byte) (t tokenFile, err error) {
	err = json.Unmarshal(data, &t)
	return t, err
}

// save replaces the file, readable by its owner alone.
func (t tokenFile) save(dir string) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return replaceFile(tokenPath(dir), data)
}

// forgetToken removes the credential that was refused.
func forgetToken(dir string) error {
	err := os.Remove(tokenPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
