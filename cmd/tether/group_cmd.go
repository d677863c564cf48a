package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/edgetether/tether/northapi/client"
	"github.com/edgetether/tether/schema"
)

type groupCmd struct {
	List    groupListCmd    `cmd:"" help:"List groups."`
	Show    groupShowCmd    `cmd:"" help:"Show a group, and how its devices are."`
	Devices groupDevicesCmd `cmd:"" help:"List the devices of a group."`
	Add     groupAddCmd     `cmd:"" help:"Make a group."`
	Update  groupUpdateCmd  `cmd:"" help:"Change a group's name or description."`
	Join    groupJoinCmd    `cmd:"" help:"Put devices into a group."`
	Leave   groupLeaveCmd   `cmd:"" help:"Take devices out of a group."`
	Clear   groupClearCmd   `cmd:"" help:"Take all devices out of a group, or delete them."`
	Rm      groupRmCmd      `cmd:"" help:"Delete a group; its devices stay."`
}

// oneGroup is the argument of commands about one group.
type oneGroup struct {
	Group string `arg:"" help:"The group: its id or name."`
}

type groupListCmd struct{ remote }

// Help is printed below the flags.
func (c *groupListCmd) Help() string { return "Examples:\n  tether group list" }

// Run is the command.
func (c *groupListCmd) Run(ctx context.Context, a *asking) error {
	return list(a, a.Groups(ctx), 0, []string{"ID", "NAME", "MADE", "DESCRIPTION"}, func(g schema.Group) []string {
		return []string{g.GroupID, g.Name, moment(g.CreatedTime), g.Description}
	})
}

type groupShowCmd struct {
	remote
	oneGroup
}

// Help is printed below the flags.
func (c *groupShowCmd) Help() string { return "Examples:\n  tether group show \"hall 2\"" }

// Run is the command.
func (c *groupShowCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.group(ctx, c.Group)
	if err != nil {
		return err
	}
	g, err := a.GroupQuery(ctx, id)
	if err != nil {
		return err
	}
	status, err := a.GroupStatusInfoQuery(ctx, id, schema.Page{Limit: 1})
	if err != nil {
		return err
	}
	type shown struct {
		schema.Group
		Counts map[schema.DevState]int `json:"counts"`
	}
	var counts []string
	for _, s := range []schema.DevState{schema.Online, schema.Unknown, schema.Offline} {
		counts = append(counts, fmt.Sprintf("%d %s", status.Counts[s], s))
	}
	return a.record(shown{g, status.Counts}, "group_id", g.GroupID, "name", g.Name, "description", g.Description,
		"devices", strings.Join(counts, ", "), "made", moment(g.CreatedTime), "changed", moment(g.UpdatedTime))
}

type groupDevicesCmd struct {
	remote
	oneGroup
}

// Help is printed below the flags.
func (c *groupDevicesCmd) Help() string {
	return "Examples:\n  tether group devices \"hall 2\""
}

// Run is the command.
func (c *groupDevicesCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.group(ctx, c.Group)
	if err != nil {
		return err
	}
	return listDevices(a, a.GroupDevices(ctx, id), 0)
}

type groupAddCmd struct {
	remote
	Name        string `arg:"" help:"Its name; no two groups have the same."`
	Description string `help:"A description."`
}

// Help is printed below the flags.
func (c *groupAddCmd) Help() string {
	return "Examples:\n  tether group add \"hall 2\" --description \"the presses by the window\""
}

// Run is the command.
func (c *groupAddCmd) Run(ctx context.Context, a *asking) error {
	id, err := a.GroupAdd(ctx, c.Name, c.Description)
	if err != nil {
		return err
	}
	return a.record(map[string]string{"group_id": id}, "group_id", id)
}

type groupUpdateCmd struct {
	remote
	oneGroup
	Name        *string `help:"Its name."`
	Description *string `help:"Its description."`
}

// Help is printed below the flags.
func (c *groupUpdateCmd) Help() string {
	return "Examples:\n  tether group update \"hall 2\" --name \"hall 3\""
}

// Run is the command.
func (c *groupUpdateCmd) Run(ctx context.Context, a *asking) error {
	p := schema.GroupPatch{Name: c.Name, Description: c.Description}
	if p == (schema.GroupPatch{}) {
		return wrong("say what changes: --name or --description")
	}
	id, err := a.group(ctx, c.Group)
	if err != nil {
		return err
	}
	g, err := a.GroupUpdate(ctx, id, p)
	if err != nil {
		return err
	}
	return a.done(g, "%s (%s) was changed", g.Name, g.GroupID)
}

type groupRmCmd struct {
	remote
	oneGroup
	Yes bool `help:"Do not ask."`
}

// Help is printed below the flags.
func (c *groupRmCmd) Help() string { return "Examples:\n  tether group rm \"hall 2\"" }

// Run is the command.
func (c *groupRmCmd) Run(ctx context.Context, a *asking) error {
	g, err := a.namedGroup(ctx, c.Group)
	if err != nil {
		return err
	}
	if err := a.sure(ctx, c.Yes, "Delete the group %s (%s)? Its devices stay.", g.Name, g.GroupID); err != nil {
		return err
	}
	if err := a.GroupDelete(ctx, g.GroupID); err != nil {
		return err
	}
	return a.done(map[string]string{"group_id": g.GroupID}, "%s (%s) was deleted", g.Name, g.GroupID)
}

// namedGroup is a group's record.
func (a *asking) namedGroup(ctx context.Context, arg string) (schema.Group, error) {
	id, err := a.group(ctx, arg)
	if err != nil {
		return schema.Group{}, err
	}
	return a.GroupQuery(ctx, id)
}

type groupClearCmd struct {
	remote
	oneGroup
	DeleteDevices bool `help:"Delete the devices themselves."`
	Yes           bool `help:"Do not ask."`
}

// Help is printed below the flags.
func (c *groupClearCmd) Help() string {
	return "Examples:\n  tether group clear \"hall 2\"\n  tether group clear scrapped --delete-devices --yes"
}

// Run is the command.
func (c *groupClearCmd) Run(ctx context.Context, a *asking) error {
	g, err := a.namedGroup(ctx, c.Group)
	if err != nil {
		return err
	}
	ask, did := "Take all devices out of %s (%s)?", "taken out"
	if c.DeleteDevices {
		ask, did = "Delete all devices that are in %s (%s)?", "deleted"
	}
	if err := a.sure(ctx, c.Yes, ask, g.Name, g.GroupID); err != nil {
		return err
	}
	gone, err := a.GroupDevicesDelete(ctx, g.GroupID, c.DeleteDevices)
	if err != nil {
		return err
	}
	return a.done(map[string]any{"group_id": g.GroupID, "device_ids": gone}, "%d devices of %s were %s", len(gone), g.Name, did)
}

// members are the arguments of join and leave.
type members struct {
	oneGroup
	Devices []string `arg:"" name:"device" help:"Devices: their ids or whole names."`
}

// each does something with each device and the group.
func (m members) each(ctx context.Context, a *asking, did string, do func(device, group string) (any, error)) error {
	group, err := a.group(ctx, m.Group)
	if err != nil {
		return err
	}
	for _, name := range m.Devices {
		device, err := a.device(ctx, name)
		if err != nil {
			return err
		}
		v, err := do(device, group)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := a.done(v, "%s %s %s", name, did, m.Group); err != nil {
			return err
		}
	}
	return nil
}

type groupJoinCmd struct {
	remote
	members
}

// Help is printed below the flags.
func (c *groupJoinCmd) Help() string {
	return "The first device that cannot be put there ends it.\n\nExamples:\n  tether group join \"hall 2\" press-7 press-8"
}

// Run is the command.
func (c *groupJoinCmd) Run(ctx context.Context, a *asking) error {
	return c.each(ctx, a, "is now in", func(device, group string) (any, error) { return a.RelationAdd(ctx, device, group) })
}

type groupLeaveCmd struct {
	remote
	members
}

// Help is printed below the flags.
func (c *groupLeaveCmd) Help() string {
	return "The first device that is not there ends it.\n\nExamples:\n  tether group leave \"hall 2\" press-7"
}

// Run is the command.
func (c *groupLeaveCmd) Run(ctx context.Context, a *asking) error {
	return c.each(ctx, a, "is no longer in", func(device, group string) (any, error) {
		return client.Relation{DeviceID: device, GroupID: group}, a.RelationDelete(ctx, device, group)
	})
}
