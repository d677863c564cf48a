package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Account is what a device and the server know of each other.
type Account struct {
	SN           string `json:"sn"`
	Model        string `json:"-"`
	DeviceID     string `json:"device_id"`
	Password     string `json:"password"`
	Token        string `json:"token,omitzero"`
	TokenExpires int64  `json:"token_expires_time,omitzero"`

	journal journal
}

// Model is the model of all simulated devices, by which they are found.
const Model = "tether-sim"

// state is what a fleet keeps from one run to the next.
type state struct {
	Server  string     `json:"server"`
	Devices []*Account `json:"devices"`
}

// loadState reads a state file. One that is not there is empty.
func loadState(name, server string) (state, error) {
	s := state{Server: server}
	if name == "" {
		return s, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("--state %s: %w", name, err)
	}
	if s.Server != server {
		return s, fmt.Errorf("--state %s is of the server %s: take another file for %s", name, s.Server, server)
	}
	for _, a := range s.Devices {
		a.Model = Model
	}
	return s, nil
}

// save replaces the state file whole. It holds secrets: it is its owner's alone.
func (s state) save(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tether-sim-")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
