package report

import (
	"fmt"
	"net/netip"
	"strings"
)

// otherRow is a row of what listens and speaks no mail: one endpoint, or those of one host that behave alike.
type otherRow struct {
	endpoint, sortAddr, protocol, said, title string
	ports                                     []uint16
}

// crowdedFrom is how many endpoints of one host, of all of which the same is told, become one row.
const crowdedFrom = 8

// listeners are the rows of the table of other listeners. A SYN proxy or a tarpit answers on every port: that is one
// fact of one host.
func (r *Report) listeners() []otherRow {
	type alike struct {
		host           netip.Addr
		protocol, said string
	}
	of := func(e *Entry) alike { return alike{e.Finding.Addr.Addr(), protocol(&e.Finding), saidWhat(e)} }
	other := r.only(func(e *Entry) bool { return !e.mail() })
	many := make(map[alike][]uint16)
	for _, e := range other {
		many[of(e)] = append(many[of(e)], e.Finding.Addr.Port())
	}
	var rows []otherRow
	done := make(map[alike]bool)
	for _, e := range other {
		l := otherRow{endpoint: endpoint(e), sortAddr: sortAddr(e), protocol: raw(protocol(&e.Finding)), said: saidWhat(e), title: plain(e.Title), ports: []uint16{e.Finding.Addr.Port()}}
		switch ports := many[of(e)]; {
		case len(e.Finding.Crowd) > 0:
			l.ports = e.Finding.Crowd
		case len(ports) >= crowdedFrom && e.Finding.Greeting == "":
			if done[of(e)] {
				continue
			}
			done[of(e)] = true
			l.ports, l.said = ports, fmt.Sprintf("%d ports: %s", len(ports), l.said)
		}
		if len(l.ports) > 1 {
			l.endpoint = bracketed(e.Finding.Addr.Addr()) + ":" + shortRuns(l.ports)
		}
		rows = append(rows, l)
	}
	return rows
}

// countPorts is how many endpoints the rows stand for.
func countPorts(rows []otherRow) (n int) {
	for _, l := range rows {
		n += len(l.ports)
	}
	return n
}

// bracketed writes an address as it stands before a port.
func bracketed(a netip.Addr) string {
	return strings.TrimSuffix(netip.AddrPortFrom(a, 0).String(), ":0")
}

// shortRuns lists ports for a narrow column.
func shortRuns(list []uint16) string {
	const shown = 3
	runs := portRuns(list)
	if len(runs) > shown {
		return strings.Join(runs[:shown], ",") + ",…"
	}
	return strings.Join(runs, ",")
}
