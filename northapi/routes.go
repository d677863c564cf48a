package northapi

import (
	"net/http"

	"github.com/edgetether/tether/northapi/docs"
)

const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

// route is one row of the table: who may ask for what, and what answers.
type route struct {
	method, pattern string
	access          access
	endpoint        endpoint
}

// services are the routes under Base (northbound section 3).
func (a *api) services() []route {
	return []route{
		{post, "/device_add", whole, command(http.StatusCreated, a.deviceAdd)},
		{post, "/device_import", whole, stream(a.deviceImport)},
		{get, "/device_query/{device_id}", viewer, query(a.deviceQuery)},
		{get, "/device_query_all", viewer, query(a.deviceQueryAll)},
		{put, "/device_update", admin, command(http.StatusOK, a.deviceUpdate)},
		{put, "/device_password_update", admin, command(http.StatusOK, a.devicePasswordUpdate)},
		{del, "/device_delete", admin, command(http.StatusOK, a.deviceDelete)},
		{get, "/device_log_query/{device_id}", viewer, query(a.deviceLogQuery)},
		{get, "/device_statusInfo_query/{device_id}", viewer, query(a.deviceStatusQuery)},
		{get, "/device_statusInfo_history/{device_id}", viewer, query(a.deviceStatusHistory)},

		{post, "/group_add", whole, command(http.StatusCreated, a.groupAdd)},
		{get, "/group_query/{group_id}", viewer, query(a.groupQuery)},
		{get, "/group_query_all", viewer, query(a.groupQueryAll)},
		{put, "/group_update", admin, command(http.StatusOK, a.groupUpdate)},
		{del, "/group_delete", admin, command(http.StatusOK, a.groupDelete)},
		{get, "/group_devices_query/{group_id}", viewer, query(a.groupDevicesQuery)},
		{del, "/group_devices_delete", admin, command(http.StatusOK, a.groupDevicesDelete)},
		{get, "/group_statusInfo_query/{group_id}", viewer, query(a.groupStatusQuery)},

		{get, "/device_groups_query/{device_id}", viewer, query(a.deviceGroupsQuery)},
		{put, "/device_groups_update", operator, command(http.StatusOK, a.deviceGroupsUpdate)},
		{del, "/device_groups_delete", operator, command(http.StatusOK, a.deviceGroupsDelete)},
		{get, "/relation_query/{device_id}/{group_id}", viewer, query(a.relationQuery)},
		{post, "/relation_add", operator, command(http.StatusCreated, a.relationAdd)},
		{del, "/relation_delete", operator, command(http.StatusOK, a.relationDelete)},

		{post, "/give_order", operator, command(http.StatusOK, a.giveOrder)},
		{post, "/order_cancel", operator, command(http.StatusOK, a.orderCancel)},
		{get, "/order_query/{order_id}", viewer, query(a.orderQuery)},
		{get, "/device_orders_query/{device_id}", viewer, query(a.deviceOrdersQuery)},
		{post, "/group_give_order", operator, command(http.StatusAccepted, a.groupGiveOrder)},
		{get, "/group_order_query/{job_id}", viewer, query(a.groupOrderQuery)},
		{get, "/group_order_query_all", viewer, query(a.groupOrderQueryAll)},
		{post, "/group_order_cancel", operator, command(http.StatusOK, a.groupOrderCancel)},
		{post, "/group_order_retry", operator, command(http.StatusAccepted, a.groupOrderRetry)},
		{get, "/device_logfile_query/{device_id}", viewer, query(a.logFileQuery)},
		{get, "/device_logfile/{order_id}", viewer, query(a.logFile)},

		{post, "/key_add", whole, command(http.StatusCreated, a.keyAdd)},
		{get, "/key_query_all", whole, query(a.keyQueryAll)},
		{post, "/key_revoke", whole, command(http.StatusOK, a.keyRevoke)},
		{get, "/audit_query_all", whole, query(a.auditQueryAll)},
	}
}

// probes are the routes outside Base that need no key.
func (a *api) probes() []route {
	return []route{
		{get, "/healthz", anyone, query(a.healthz)},
		{get, "/readyz", anyone, query(a.readyz)},
	}
}

// streams are outside Base and need a key.
func (a *api) streams() []route {
	return []route{{get, "/events", viewer, apart(query(a.events))}}
}

// logins are for the pages of a browser.
func (a *api) logins() []route {
	return []route{
		{post, "/login", anyone, direct(a.login)},
		{get, "/login", viewer, query(a.whoami)},
		{post, "/logout", viewer, direct(a.logout)},
	}
}

// documents are what the service tells about itself. They hold nothing of the
// installation, and rpc.discover tells a part of it to everybody: no key.
func documents() []route {
	var all []route
	for _, path := range docs.Paths() {
		all = append(all, route{get, path, anyone, document(path)}, route{head, path, anyone, document(path)})
	}
	return all
}

// waitingPath is that of the route whose answer may be long in coming.
const waitingPath = Base + "/give_order"

// mounted is a route where it is served.
type mounted struct {
	route
	name     string // for the log
	observed string // for Observe
}

func (a *api) mount(pattern string, rt route) { a.mountAs(rt.method+" "+pattern, pattern, rt) }

// mountAs is mount for rows that Observe hears of under one name.
func (a *api) mountAs(observed, pattern string, rt route) {
	at := &mounted{rt, rt.method + " " + pattern, observed}
	a.router.Method(rt.method, pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*call).carryOut(at, r)
	}))
}
