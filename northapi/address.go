package northapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Where a request comes from is what its connection says. A proxy in between
// is believed to say it better, if it was declared (Config.Proxies); what anybody
// else writes into such headers counts for nothing (reliability T24).

// Headers in which proxies tell whom they ask for, and how they were asked.
const (
	forwardedFor   = "X-Forwarded-For"
	forwardedProto = "X-Forwarded-Proto"
)

// forwarded puts the address that a declared proxy names in place of the
// proxy's own. What comes after it may believe RemoteAddr and X-Forwarded-Proto.
func (a *api) forwarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := addressOf(r.RemoteAddr)
		if a.declared(peer) {
			if from := client(peer, r.Header.Values(forwardedFor), a.declared); from != peer {
				r.RemoteAddr = netip.AddrPortFrom(from, 0).String()
			}
		} else {
			r.Header.Del(forwardedProto)
		}
		next.ServeHTTP(w, r)
	})
}

// declared says whether an address is that of a proxy that is believed.
func (a *api) declared(peer netip.Addr) bool {
	return slices.ContainsFunc(a.Proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// client is the address that a chain of proxies asks for. Each has appended
// whom it was asked by: the chain is read from its end, for as long as it is
// declared proxies who speak.
func client(peer netip.Addr, lines []string, declared func(netip.Addr) bool) netip.Addr {
	chain := strings.Split(strings.Join(lines, ","), ",")
	for _, text := range slices.Backward(chain) {
		next := addressOf(strings.TrimSpace(text))
		if !next.IsValid() || !declared(peer) {
			return peer
		}
		peer = next
	}
	return peer
}

// Loopback says whether a host, which a port may follow, is this machine by a name
// that nobody else can give it: localhost, or a loopback address.
func Loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(host, "localhost") || addressOf(host).IsLoopback()
}

// addressOf reads an address, which a port may follow. What is none is the
// zero address.
func addressOf(text string) netip.Addr {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// source is the network that a request came from: an IPv4 address, or the /64
// that one IPv6 host can pick addresses from. Addresses that are none share the
// zero prefix.
func source(remote string) netip.Prefix {
	addr := addressOf(remote)
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// shownAddress is an address for the audit log; empty if it is none.
func shownAddress(remote string) string {
	if addr := addressOf(remote); addr.IsValid() {
		return addr.String()
	}
	return ""
}

// secure says whether a request came over TLS, to here or to a declared proxy.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get(forwardedProto), "https")
}
