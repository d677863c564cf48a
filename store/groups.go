package store

import (
	"context"

	"github.com/edgetether/tether/schema"
)

const groupColumns = "g.group_id, g.name, g.description, g.created_time, g.updated_time"

func scanGroup(r scanner) (g schema.Group, err error) {
	return g, r.Scan(&g.GroupID, &g.Name, &g.Description, &g.CreatedTime, &g.UpdatedTime)
}

var errGroupExists = schema.Errorf(schema.GroupConflict, "group_exists", "group_name: a group of this name is there already")

// AddGroup stores g. A taken name is GroupConflict.
func (s *Store) AddGroup(ctx context.Context, g schema.Group) error {
	_, err := write(ctx, s, func(t *tx) (struct{}, error) {
		n, err := t.exec(`INSERT INTO group_info (group_id, name, description, created_time, updated_time)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			g.GroupID, g.Name, g.Description, g.CreatedTime, g.UpdatedTime)
		return struct{}{}, touched(n, err, errGroupExists)
	})
	return err
}

// Group finds one group.
func (s *Store) Group(ctx context.Context, sc schema.Scope, groupID string) (schema.Group, error) {
	return read(ctx, s, func(r querier) (schema.Group, error) { return groupIn(r, sc, groupID) })
}

// groupIn reads a group of the scope.
func groupIn(r querier, sc schema.Scope, groupID string) (schema.Group, error) {
	var q query
	q.add("SELECT "+groupColumns+" FROM group_info g WHERE g.group_id = ?", groupID)
	q.withinGroups(sc, "g.group_id")
	g, err := scanGroup(r.row(q.text.String(), q.args...))
	return one(g, err, schema.ErrGroupNotFound)
}

// ListGroups lists groups by their identifier.
func (s *Store) ListGroups(ctx context.Context, sc schema.Scope, p schema.Page) (schema.List[schema.Group], error) {
	var q query
	q.add("SELECT " + groupColumns + " FROM group_info g WHERE TRUE")
	q.withinGroups(sc, "g.group_id")
	return read(ctx, s, func(r querier) (schema.List[schema.Group], error) { return listGroups(r, &q, p) })
}

// listGroups ends what a query of groups began.
func listGroups(r querier, q *query, p schema.Page) (schema.List[schema.Group], error) {
	return list(r, q, p, order{kind: 'g', id: "g.group_id"}, scanGroup,
		func(g schema.Group) cursor { return cursor{id: g.GroupID} })
}

// UpdateGroup changes what patch names and returns the record as it is now.
func (s *Store) UpdateGroup(ctx context.Context, sc schema.Scope, groupID string, patch schema.GroupPatch, now int64) (schema.Group, error) {
	return change(ctx, s, func(t *tx) (schema.Group, error) {
		old, err := groupIn(t, sc, groupID)
		if err != nil {
			return schema.Group{}, err
		}
		g := old
		set(&g.Name, patch.Name)
		set(&g.Description, patch.Description)
		if g == old {
			return old, nil
		}
		g.UpdatedTime = now
		// The unique index would tell of a taken name as an error of the
		// engine's; the condition tells it in SQL.
		n, err := t.exec(`UPDATE group_info SET name = $2, description = $3, updated_time = $4 WHERE group_id = $1
			AND NOT EXISTS (SELECT 1 FROM group_info o WHERE o.name = $2 AND o.group_id <> $1)`,
			groupID, g.Name, g.Description, now)
		return g, touched(n, err, errGroupExists)
	})
}

// DeleteGroup removes the group and its relations, not its devices.
func (s *Store) DeleteGroup(ctx context.Context, sc schema.Scope, groupID string) error {
	_, err := change(ctx, s, func(t *tx) (struct{}, error) {
		if _, err := groupIn(t, sc, groupID); err != nil {
			return struct{}{}, err
		}
		_, err := t.exec("DELETE FROM group_info WHERE group_id = $1", groupID) // relations go with it
		return struct{}{}, err
	})
	return err
}

// CountStates counts a group's devices by state; every state is in the map.
func (s *Store) CountStates(ctx context.Context, sc schema.Scope, groupID string) (map[schema.DevState]int, error) {
	return read(ctx, s, func(r querier) (map[schema.DevState]int, error) {
		if _, err := groupIn(r, sc, groupID); err != nil {
			return nil, err
		}
		type count struct {
			state schema.DevState
			n     int
		}
		rows, err := r.rows(`SELECT d.state, COUNT(*) FROM relations r JOIN devices d ON d.device_id = r.device_id
			WHERE r.group_id = $1 GROUP BY d.state`, groupID)
		counts, err := collect(rows, err, func(r scanner) (c count, err error) { return c, r.Scan(&c.state, &c.n) })
		states := map[schema.DevState]int{schema.Online: 0, schema.Unknown: 0, schema.Offline: 0}
		for _, c := range counts {
			states[c.state] = c.n
		}
		return states, err
	})
}
