package northapi_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/edgetether/tether/schema"
)

// memory is a store that keeps everything in maps, with the scoping rules of
// the ports.
type memory struct {
	mu        sync.Mutex
	devices   map[string]schema.Device
	passwords map[string]string
	groups    map[string]schema.Group
	members   map[[2]string]bool // device, group
	keys      map[string]schema.Key
	orders    map[string]schema.Order
	events    []schema.Event
	files     map[string]schema.LogFile
	fault     error // what every call answers, if it is set
}

func newMemory() *memory {
	return &memory{
		devices: map[string]schema.Device{}, passwords: map[string]string{}, groups: map[string]schema.Group{},
		members: map[[2]string]bool{}, keys: map[string]schema.Key{}, orders: map[string]schema.Order{},
		files: map[string]schema.LogFile{},
	}
}

// enter locks, and says the fault that is on.
func (m *memory) enter() (leave func(), err error) {
	m.mu.Lock()
	return m.mu.Unlock, m.fault
}

func (m *memory) seesGroup(sc schema.Scope, id string) error {
	if _, ok := m.groups[id]; !ok || sc.Groups != nil && !slices.Contains(sc.Groups, id) {
		return schema.ErrGroupNotFound
	}
	return nil
}

func (m *memory) seesDevice(sc schema.Scope, id string) error {
	if _, ok := m.devices[id]; !ok {
		return schema.ErrDeviceNotFound
	}
	if sc.Groups == nil || slices.ContainsFunc(sc.Groups, func(g string) bool { return m.members[[2]string{id, g}] }) {
		return nil
	}
	return schema.ErrDeviceNotFound
}

// page cuts a sorted list of ids; the cursor is an offset.
func page[T any](all []T, p schema.Page) (schema.List[T], error) {
	at := 0
	if p.Cursor != "" {
		n, err := strconv.Atoi(p.Cursor)
		if err != nil || n < 0 || n > len(all) {
			return schema.List[T]{}, schema.InvalidMember("cursor", "is none of this list")
		}
		at = n
	}
	end := min(at+p.Limit, len(all))
	list := schema.List[T]{Items: append([]T{}, all[at:end]...)}
	if end < len(all) {
		list.NextCursor = strconv.Itoa(end)
	}
	return list, nil
}

func sorted[V any](m map[string]V) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (m *memory) AddDevice(_ context.Context, d schema.Device, hash, _ string) error {
	leave, err := m.enter()
	defer leave()
	if err != nil {
		return err
	}
	for _, other := range m.devices {
		if other.Hardware == d.Hardware {
			return schema.Errorf(schema.DeviceConflict, "device_exists", "hardware: taken")
		}
	}
	m.devices[d.DeviceID], m.passwords[d.DeviceID] = d, hash
	return nil
}

func (m *memory) Device(_ context.Context, sc schema.Scope, id string) (schema.Device, error) {
	leave, err := m.enter()
	defer leave()
	if err != nil {
		return schema.Device{}, err
	}
	return m.devices[id], m.seesDevice(sc, id)
}

func (m *memory) ListDevices(_ context.Context, sc schema.Scope, f schema.DeviceFilter, p schema.Page) (schema.List[schema.Device], error) {
	leave, err := m.enter()
	defer leave()
	var all []schema.Device
	for _, id := range sorted(m.devices) {
		d := m.devices[id]
		hit := m.seesDevice(sc, id) == nil && (f.State == "" || f.State == d.State) && (f.Type == "" || f.Type == d.Type) &&
			(f.Model == "" || f.Model == d.Hardware.Model) && (f.SN == "" || f.SN == d.Hardware.SN) &&
			(f.GroupID == "" || m.members[[2]string{id, f.GroupID}]) && strings.Contains(d.Name, f.Name)
		if hit {
			all = append(all, d)
		}
	}
	if err != nil {
		return schema.List[schema.Device]{}, err
	}
	return page(all, p)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (m *memory) UpdateDevice(_ context.Context, sc schema.Scope, id string, p schema.DevicePatch, _ string, now int64) (schema.Device, *schema.DeviceUpdate, error) {
	leave, err := m.enter()
	defer leave()
	if err == nil {
		err = m.seesDevice(sc, id)
	}
	if err != nil {
		return schema.Device{}, nil, err
	}
	d := m.devices[id]
	set(&d.Name, p.Name)
	set(&d.Type, p.Type)
	set(&d.Description, p.Description)
	set(&d.NIC, p.NIC)
	set(&d.Enabled, p.Enabled)
	if p.Software != nil {
		d.Software = p.Software
	}
	if p.BusinessSoftware != nil {
		d.BusinessSoftware = p.BusinessSoftware
	}
	d.UpdatedTime = now
	m.devices[id] = d
	return d, &schema.DeviceUpdate{DeviceID: id, Name: d.Name, UpdatedTime: now}, nil
}

func (m *memory) SetPassword(_ context.Context, sc schema.Scope, id, hash, _ string, _ int64) error {
	leave, err := m.enter()
	defer leave()
	if err == nil {
		err = m.seesDevice(sc, id)
	}
	if err == nil {
		m.passwords[id] = hash
	}
	return err
}

func (m *memory) DeleteDevice(_ context.Context, sc schema.Scope, id, _ string, _ int64) error {
	leave, err := m.enter()
	defer leave()
	if err == nil {
		err = m.seesDevice(sc, id)
	}
	if err == nil {
		delete(m.devices, id)
	}
	return err
}

func (m *memory) AddGroup(_ context.Context, g schema.Group) error {
	leave, err := m.enter()
	defer leave()
	for _, other := range m.groups {
		if other.Name == g.Name {
			return schema.Errorf(schema.GroupConflict, "group_exists", "group_name: taken")
		}
	}
	m.groups[g.GroupID] = g
	return err
}

func (m *memory) Group(_ context.Context, sc schema.Scope, id string) (schema.Group, error) {
	leave, _ := m.enter()
	defer leave()
	return m.groups[id], m.seesGroup(sc, id)
}

func (m *memory) ListGroups(_ context.Context, sc schema.Scope, p schema.Page) (schema.List[schema.Group], error) {
	leave, _ := m.enter()
	defer leave()
	var all []schema.Group
	for _, id := range sorted(m.groups) {
		if m.seesGroup(sc, id) == nil {
			all = append(all, m.groups[id])
		}
	}
	return page(all, p)
}

func (m *memory) UpdateGroup(_ context.Context, sc schema.Scope, id string, p schema.GroupPatch, now int64) (schema.Group, error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesGroup(sc, id); err != nil {
		return schema.Group{}, err
	}
	g := m.groups[id]
	set(&g.Name, p.Name)
	set(&g.Description, p.Description)
	g.UpdatedTime = now
	m.groups[id] = g
	return g, nil
}

func (m *memory) DeleteGroup(_ context.Context, sc schema.Scope, id string) error {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesGroup(sc, id); err != nil {
		return err
	}
	delete(m.groups, id)
	return nil
}

func (m *memory) CountStates(_ context.Context, sc schema.Scope, id string) (map[schema.DevState]int, error) {
	leave, _ := m.enter()
	defer leave()
	counts := map[schema.DevState]int{}
	for device, d := range m.devices {
		if m.members[[2]string{device, id}] {
			counts[d.State]++
		}
	}
	return counts, m.seesGroup(sc, id)
}

// seesBoth is nil if sc sees the device and the group.
func (m *memory) seesBoth(sc schema.Scope, device, group string) error {
	if err := m.seesDevice(sc, device); err != nil {
		return err
	}
	return m.seesGroup(sc, group)
}

func (m *memory) Related(_ context.Context, sc schema.Scope, device, group string) (bool, error) {
	leave, _ := m.enter()
	defer leave()
	return m.members[[2]string{device, group}], m.seesBoth(sc, device, group)
}

func (m *memory) AddRelation(_ context.Context, sc schema.Scope, device, group string, _ int64) error {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesBoth(sc, device, group); err != nil {
		return err
	}
	if m.members[[2]string{device, group}] {
		return schema.Errorf(schema.RelationConflict, "relation_exists", "the device is in the group already")
	}
	m.members[[2]string{device, group}] = true
	return nil
}

func (m *memory) DeleteRelation(_ context.Context, sc schema.Scope, device, group string) error {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesBoth(sc, device, group); err != nil {
		return err
	}
	if !m.members[[2]string{device, group}] {
		return schema.ErrRelationNotFound
	}
	delete(m.members, [2]string{device, group})
	return nil
}

func (m *memory) DeviceGroups(_ context.Context, sc schema.Scope, device string, p schema.Page) (schema.List[schema.Group], error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesDevice(sc, device); err != nil {
		return schema.List[schema.Group]{}, err
	}
	var all []schema.Group
	for _, id := range sorted(m.groups) {
		if m.members[[2]string{device, id}] && m.seesGroup(sc, id) == nil {
			all = append(all, m.groups[id])
		}
	}
	return page(all, p)
}

func (m *memory) SetDeviceGroups(_ context.Context, sc schema.Scope, device string, ids []string, _ int64) error {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesDevice(sc, device); err != nil {
		return err
	}
	for _, id := range ids {
		if err := m.seesGroup(sc, id); err != nil {
			return err
		}
	}
	for id := range m.groups {
		if m.seesGroup(sc, id) == nil {
			delete(m.members, [2]string{device, id})
		}
	}
	for _, id := range ids {
		m.members[[2]string{device, id}] = true
	}
	return nil
}

func (m *memory) EmptyGroup(_ context.Context, sc schema.Scope, group string, deleteDevices bool, _ string, _ int64) ([]string, error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesGroup(sc, group); err != nil {
		return nil, err
	}
	var touched []string
	for _, id := range sorted(m.devices) {
		if m.members[[2]string{id, group}] {
			touched = append(touched, id)
			delete(m.members, [2]string{id, group})
			if deleteDevices {
				delete(m.devices, id)
			}
		}
	}
	return touched, nil
}

func (m *memory) Order(_ context.Context, sc schema.Scope, id string) (schema.Order, error) {
	leave, _ := m.enter()
	defer leave()
	o, ok := m.orders[id]
	if !ok || m.seesDevice(sc, o.DeviceID) != nil {
		return schema.Order{}, schema.ErrOrderNotFound
	}
	return o, nil
}

func (m *memory) ListOrders(_ context.Context, sc schema.Scope, device string, p schema.Page) (schema.List[schema.Order], error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesDevice(sc, device); err != nil {
		return schema.List[schema.Order]{}, err
	}
	var all []schema.Order
	for _, id := range sorted(m.orders) {
		if m.orders[id].DeviceID == device {
			all = append(all, m.orders[id])
		}
	}
	return page(all, p)
}

func (m *memory) ListEvents(_ context.Context, sc schema.Scope, f schema.EventFilter, p schema.Page) (schema.List[schema.Event], error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesDevice(sc, f.DeviceID); err != nil {
		return schema.List[schema.Event]{}, err
	}
	var all []schema.Event
	for _, e := range m.events {
		if e.DeviceID == f.DeviceID && (f.Kind == "" || e.Kind == f.Kind) && e.Time >= f.Since && (f.Until == 0 || e.Time < f.Until) {
			all = append(all, e)
		}
	}
	return page(all, p)
}

func (m *memory) ListLogFiles(_ context.Context, sc schema.Scope, device string, p schema.Page) (schema.List[schema.LogFile], error) {
	leave, _ := m.enter()
	defer leave()
	if err := m.seesDevice(sc, device); err != nil {
		return schema.List[schema.LogFile]{}, err
	}
	var all []schema.LogFile
	for _, id := range sorted(m.files) {
		if m.files[id].DeviceID == device {
			all = append(all, m.files[id])
		}
	}
	return page(all, p)
}

func (m *memory) LogFile(_ context.Context, sc schema.Scope, order string) (schema.LogFile, error) {
	leave, _ := m.enter()
	defer leave()
	f, ok := m.files[order]
	if !ok || m.seesDevice(sc, f.DeviceID) != nil {
		return schema.LogFile{}, schema.ErrFileNotFound
	}
	return f, nil
}

// keys are found by their hash.
func (m *memory) KeyByHash(_ context.Context, hash string) (schema.Key, error) {
	leave, err := m.enter()
	defer leave()
	k, ok := m.keys[hash]
	if err == nil && (!ok || k.RevokedTime != nil) {
		err = schema.ErrKeyNotFound
	}
	return k, err
}

func (m *memory) AddKey(_ context.Context, k schema.Key, hash string) error {
	leave, _ := m.enter()
	defer leave()
	m.keys[hash] = k
	return nil
}

func (m *memory) ListKeys(_ context.Context, p schema.Page) (schema.List[schema.Key], error) {
	leave, _ := m.enter()
	defer leave()
	var all []schema.Key
	for _, hash := range sorted(m.keys) {
		all = append(all, m.keys[hash])
	}
	return page(all, p)
}

func (m *memory) RevokeKey(_ context.Context, id string, now int64) error {
	leave, _ := m.enter()
	defer leave()
	for hash, k := range m.keys {
		if k.KeyID == id {
			k.RevokedTime = &now
			m.keys[hash] = k
			return nil
		}
	}
	return schema.ErrKeyNotFound
}
