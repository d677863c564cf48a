package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type deviceCmd struct {
	List     deviceListCmd     `cmd:"" help:"List devices."`
	Show     deviceShowCmd     `cmd:"" help:"Show a device: its record, last report, groups and last events."`
	Log      deviceLogCmd      `cmd:"" help:"Show a device's log, or follow it."`
	History  deviceHistoryCmd  `cmd:"" help:"Show a device's reports of the past."`
	Logfiles deviceLogfilesCmd `cmd:"" help:"List the logs that a device has sent."`
	Add      deviceAddCmd      `cmd:"" help:"Register a device and print its password, once."`
	Import   deviceImportCmd   `cmd:"" help:"Register the devices of a file."`
	Update   deviceUpdateCmd   `cmd:"" help:"Change a device's record, disable or enable it."`
	Password devicePasswordCmd `cmd:"" help:"Give a device a new password."`
	Rm       deviceRmCmd       `cmd:"" help:"Delete a device."`
}

// oneDevice is the argument of commands about one device.
type oneDevice struct {
	Device string `arg:"" help:"The device: its id, or its whole name."`
}

type deviceListCmd struct {
	remote
	State string `placeholder:"STATE" help:"Those that are online, Unknown or offline."`
	Type  string `help:"Those of this type."`
	Model string `help:"Those of this model."`
	SN    string `name:"sn" help:"Those with this serial number."`
	Group string `help:"Those in this group: its id or name."`
	Name  string `placeholder:"TEXT" help:"Those whose name has this in it."`
	Limit int    `default:"0" help:"At most this many; 0: all."`
}

// Help is printed below the flags.
func (c *deviceListCmd) Help() string {
	return `Examples:
  tether device list --state offline
  tether device list --group "hall 2" --json | jq -r .device_id
  TETHER_URL=https://tether.example.com tether device list --key-file ~/.tether-key`
}

// Run is the command.
func (c *deviceListCmd) Run(ctx context.Context, a *asking) error {
	group, err := a.optionalGroup(ctx, c.Group)
	if err != nil {
		return err
	}
	f := schema.DeviceFilter{State: schema.DevState(c.State), Type: c.Type, Model: c.Model, SN: c.SN, GroupID: group, Name: c.Name}
	return listDevices(a, a.Devices(ctx, f), c.Limit)
}

func listDevices(a *asking, devices iter.Seq2[schema.Device, error], limit int) error {
	head := []string{"ID", "NAME", "STATE", "LAST SEEN", "TYPE", "MODEL", "SN"}
	return list(a, devices, limit, head, func(d schema.Device) []string {
		return []string{d.DeviceID, d.Name, stateOf(d), momentOr(d.LastSeenTime, "never"), d.Type, d.Hardware.Model, d.Hardware.SN}
	})
}

// stateOf is a device's state as a list shows it.
func stateOf(d schema.Device) string {
	if !d.Enabled {
		return "disabled"
	}
	return string(d.State)
}

type deviceAddCmd struct {
	remote
	Name         string `arg:"" help:"Its name."`
	SN           string `name:"sn" required:"" help:"The serial number; with the model it identifies the machine."`
	Model        string `required:"" help:"The model."`
	Disabled     bool   `help:"Its logins are refused until it is enabled."`
	PasswordFile string `placeholder:"FILE" help:"A file that holds its password. Default: the service makes one, which is better."`
	deviceMembers
}

// deviceMembers are what a device may have besides.
type deviceMembers struct {
	Type             *string `help:"Its type, such as press."`
	Description      *string `help:"A description."`
	Software         *string `placeholder:"JSON" help:"Its software: {\"version\":…,\"last_update\":…,\"status\":…}."`
	BusinessSoftware *string `placeholder:"JSON" help:"Its business software, likewise."`
	NIC              *string `name:"nic" placeholder:"JSON" help:"Its network interfaces: [{\"type\":…,\"mac\":…,\"ipv4\":…,\"imei\":…}]."`
}

// patch reads the members that are JSON.
func (m deviceMembers) patch() (schema.DevicePatch, error) {
	p := schema.DevicePatch{Type: m.Type, Description: m.Description}
	return p, errors.Join(
		readJSON("--software", m.Software, &p.Software),
		readJSON("--business-software", m.BusinessSoftware, &p.BusinessSoftware),
		readJSON("--nic", m.NIC, &p.NIC))
}

// Help is printed below the flags.
func (c *deviceAddCmd) Help() string {
	return `The password is printed this once and is not to be had again. "tether device import" registers many.

Examples:
  tether device add press-7 --sn SN-0001 --model ModelB --type press
  tether device add press-7 --sn SN-0001 --model ModelB --json > press-7.json`
}

// Run is the command.
func (c *deviceAddCmd) Run(ctx context.Context, a *asking) error {
	p, err := c.patch()
	if err != nil {
		return err
	}
	d := client.NewDevice{Name: c.Name, Hardware: schema.Hardware{SN: c.SN, Model: c.Model}, Software: p.Software, BusinessSoftware: p.BusinessSoftware}
	if p.Type != nil {
		d.Type = *p.Type
	}
	if p.Description != nil {
		d.Description = *p.Description
	}
	if p.NIC != nil {
		d.NIC = *p.NIC
	}
	if c.Disabled {
		d.Enabled = new(false)
	}
	if d.Password, err = passwordOf(c.PasswordFile); err != nil {
		return err
	}
	who, err := a.DeviceAdd(ctx, d)
	if err != nil {
		return err
	}
	return a.record(who, "device_id", who.DeviceID, "password", who.Password)
}

// passwordOf is what a file holds; without one the service makes the password.
func passwordOf(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	return readSecret("--password-file", file)
}

type deviceUpdateCmd struct {
	remote
	oneDevice
	Name    *string `help:"Its name."`
	Disable bool    `xor:"enabled" help:"End its session and refuse its logins."`
	Enable  bool    `xor:"enabled" help:"Let it log in again."`
	deviceMembers
}

// Help is printed below the flags.
func (c *deviceUpdateCmd) Help() string {
	return `What is not named stays as it is; an empty text or null clears. The device is told at once, or at its next login.

Examples:
  tether device update press-7 --name press-8 --description "by the window"
  tether device update 2124685218223751168 --disable`
}

// Run is the command.
func (c *deviceUpdateCmd) Run(ctx context.Context, a *asking) error {
	p, err := c.patch()
	if err != nil {
		return err
	}
	p.Name = c.Name
	if c.Disable || c.Enable {
		p.Enabled = new(c.Enable)
	}
	if p == (schema.DevicePatch{}) {
		return wrong("say what changes, such as --name")
	}
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	d, err := a.DeviceUpdate(ctx, id, p)
	if err != nil {
		return err
	}
	return a.done(d, "%s (%s) was changed", d.Name, d.DeviceID)
}

type devicePasswordCmd struct {
	remote
	oneDevice
	PasswordFile string `placeholder:"FILE" help:"A file that holds the password. Default: the service makes one, which is better."`
}

// Help is printed below the flags.
func (c *devicePasswordCmd) Help() string {
	return `The old password and the device's tokens are good no more, and its session ends. The new one is printed this once.

Examples:
  tether device password press-7`
}

// Run is the command.
func (c *devicePasswordCmd) Run(ctx context.Context, a *asking) error {
	password, err := passwordOf(c.PasswordFile)
	if err != nil {
		return err
	}
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	who, err := a.DevicePasswordUpdate(ctx, id, password)
	if err != nil {
		return err
	}
	return a.record(who, "device_id", who.DeviceID, "password", who.Password)
}

type deviceRmCmd struct {
	remote
	oneDevice
	Yes bool `help:"Do not ask."`
}

// Help is printed below the flags.
func (c *deviceRmCmd) Help() string {
	return `The device loses its connection, its groups and what waits for it. Its log is kept for a while.

Examples:
  tether device rm press-7
  tether device rm 2124685218223751168 --yes`
}

// Run is the command.
func (c *deviceRmCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	d, err := a.DeviceQuery(ctx, id)
	if err != nil {
		return err
	}
	if err := a.sure(ctx, c.Yes, "Delete %s (%s, %s %s)?", d.Name, id, d.Hardware.Model, d.Hardware.SN); err != nil {
		return err
	}
	if err := a.DeviceDelete(ctx, id); err != nil {
		return err
	}
	return a.done(map[string]string{"device_id": id}, "%s (%s) was deleted", d.Name, id)
}

type deviceLogfilesCmd struct {
	remote
	oneDevice
}

// Help is printed below the flags.
func (c *deviceLogfilesCmd) Help() string {
	return `A device sends its log when it is ordered to. "tether order logfile" prints one.

Examples:
  tether order give press-7 upload_log
  tether device logfiles press-7`
}

// Run is the command.
func (c *deviceLogfilesCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.device(ctx, c.Device)
	if err != nil {
		return err
	}
	return list(a, a.DeviceLogFiles(ctx, id), 0, []string{"ORDER", "SENT", "BYTES", "SHA-256"}, func(f schema.LogFile) []string {
		return []string{f.OrderID, moment(f.CreatedTime), strconv.FormatInt(f.Bytes, 10), f.SHA256}
	})
}

// softwareText is software in one line.
func softwareText(s *schema.Software) string {
	if s == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Version, s.LastUpdate, s.Status))
}
