package client

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"

	"github.com/edgetether/tether/schema"
)

// all follows a list's cursors. After an error there is nothing more.
func all[T any](page func(schema.Page) (schema.List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var p schema.Page
		for {
			list, err := page(p)
			if err == nil && list.NextCursor != "" && list.NextCursor == p.Cursor {
				err = fmt.Errorf("the list does not go on behind %q", p.Cursor)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range list.Items {
				if !yield(item, nil) {
					return
				}
			}
			if p.Cursor = list.NextCursor; p.Cursor == "" {
				return
			}
		}
	}
}

// Devices are all devices that match, by the pages of DeviceQueryAll.
func (c *Client) Devices(ctx context.Context, f schema.DeviceFilter) iter.Seq2[schema.Device, error] {
	return all(func(p schema.Page) (schema.List[schema.Device], error) { return c.DeviceQueryAll(ctx, f, p) })
}

// DeviceEvents are the lines of a device's log, newest first.
func (c *Client) DeviceEvents(ctx context.Context, f schema.EventFilter) iter.Seq2[schema.Event, error] {
	return all(func(p schema.Page) (schema.List[schema.Event], error) { return c.DeviceLogQuery(ctx, f, p) })
}

// DeviceHistory are a device's reports that were kept, newest first.
func (c *Client) DeviceHistory(ctx context.Context, f schema.HistoryFilter) iter.Seq2[schema.HistoryPoint, error] {
	return all(func(p schema.Page) (schema.List[schema.HistoryPoint], error) {
		return c.DeviceStatusInfoHistory(ctx, f, p)
	})
}

// DeviceOrders are a device's orders, newest first.
func (c *Client) DeviceOrders(ctx context.Context, deviceID string) iter.Seq2[schema.Order, error] {
	return all(func(p schema.Page) (schema.List[schema.Order], error) { return c.DeviceOrdersQuery(ctx, deviceID, p) })
}

// DeviceLogFiles are the logs that a device has sent, newest first.
func (c *Client) DeviceLogFiles(ctx context.Context, deviceID string) iter.Seq2[schema.LogFile, error] {
	return all(func(p schema.Page) (schema.List[schema.LogFile], error) {
		return c.DeviceLogfileQuery(ctx, deviceID, p)
	})
}

// DeviceGroups are the groups that a device is in.
func (c *Client) DeviceGroups(ctx context.Context, deviceID string) iter.Seq2[schema.Group, error] {
	return all(func(p schema.Page) (schema.List[schema.Group], error) { return c.DeviceGroupsQuery(ctx, deviceID, p) })
}

// Groups are all groups.
func (c *Client) Groups(ctx context.Context) iter.Seq2[schema.Group, error] {
	return all(func(p schema.Page) (schema.List[schema.Group], error) { return c.GroupQueryAll(ctx, p) })
}

// GroupDevices are the devices of a group.
func (c *Client) GroupDevices(ctx context.Context, groupID string) iter.Seq2[schema.Device, error] {
	return all(func(p schema.Page) (schema.List[schema.Device], error) { return c.GroupDevicesQuery(ctx, groupID, p) })
}

// Keys are all keys, without what they are.
func (c *Client) Keys(ctx context.Context) iter.Seq2[schema.Key, error] {
	return all(func(p schema.Page) (schema.List[schema.Key], error) { return c.KeyQueryAll(ctx, p) })
}

// Audit are the lines of the audit log, newest first.
func (c *Client) Audit(ctx context.Context, f schema.AuditFilter) iter.Seq2[schema.Audit, error] {
	return all(func(p schema.Page) (schema.List[schema.Audit], error) { return c.AuditQueryAll(ctx, f, p) })
}

// parameters are those of a query string; what is empty or 0 is left out.
type parameters url.Values

func (p parameters) text(name, value string) parameters {
	if value != "" {
		url.Values(p).Set(name, value)
	}
	return p
}

func (p parameters) number(name string, value int64) parameters {
	if value != 0 {
		url.Values(p).Set(name, strconv.FormatInt(value, 10))
	}
	return p
}

func (p parameters) page(page schema.Page) url.Values {
	return url.Values(p.number("limit", int64(page.Limit)).text("cursor", page.Cursor))
}
