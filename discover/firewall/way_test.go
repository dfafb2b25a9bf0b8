package firewall

import (
	"net/netip"
	"strings"
	"testing"
)

func csvDevice(t *testing.T, name, from, text string, routes ...Route) Device {
	t.Helper()
	rs, err := Read(name, Export{File: File{Name: name + ".csv"}, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	rs.Routes = append(rs.Routes, routes...)
	return Device{rs, from}
}

func behind(zone, prefix string) Route { return Route{netip.MustParsePrefix(prefix), zone} }

// Two firewalls in a row: what the first translates is what the second sees, and its verdict is theirs together.
func TestFollow(t *testing.T) {
	const outer = `step,kind,id,action,in,src,dst,dport,to_addr,to_port
nat,dnat,10,translate,wan,any,198.51.100.25,25,10.20.0.25,2525
nat,dnat,11,translate,wan,any,198.51.100.26,25,10.20.0.26,25
filter,filter,20,accept,wan,any,10.20.0.0/16,any,,
filter,filter,21,accept,wan,any,172.16.0.0/12,any,,
hide,snat,30,translate,wan,any,10.20.0.25,any,10.0.0.1,
`
	const inner = `id,action,in,src,dst,dport
1,accept,transit,10.0.0.1,10.20.0.25,2525
2,drop,transit,any,any,any
`
	const other = `id,action,in,src,dst,dport
1,drop,wan,any,any,any
`
	devices := []Device{
		csvDevice(t, "outer", "", outer, behind("lan", "10.20.0.0/16"), behind("wan", "198.51.100.0/24"), behind("dmz", "172.16.0.0/12"), behind("dmz", "192.168.0.0/16")),
		csvDevice(t, "inner", "transit", inner, behind("lan", "10.20.0.0/16")),
		// A third one stands at another site.
		csvDevice(t, "site2", "", other, behind("lan2", "10.99.0.0/16"), behind("wan", "0.0.0.0/0")),
	}
	devices[0].Bind("lan", []string{"lan"})
	devices[0].Bind("dmz", []string{"dmz"})
	devices[1].Bind("lan", []string{"lan"})
	devices[2].Bind("lan2", []string{"lan2"})
	for _, tt := range []struct {
		why, to, verdict, server, by string
	}{
		{"the second sees the translated addresses", "198.51.100.25:25", "permitted", "10.0.0.1 > 10.20.0.25:2525", "outer:10 outer:20 outer:30 inner:1"},
		{"the second denies what the first lets through", "198.51.100.26:25", "denied", "203.0.113.9 > 10.20.0.26:25", "outer:11 outer:20 inner:2"},
		{"the first denies: nobody asks the second", "192.168.0.1:25", "denied", "203.0.113.9 > 192.168.0.1:25", "outer:policy"},
		{"the second has no route there: it is not on the way", "172.16.0.25:25", "permitted", "203.0.113.9 > 172.16.0.25:25", "outer:21"},
		{"only the third would carry it there, and it denies", "10.99.0.25:25", "denied", "203.0.113.9 > 10.99.0.25:25", "site2:1"},
	} {
		list := devices
		if strings.Contains(tt.by, "site2") {
			list = devices[1:]
		}
		w := Follow(list, NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort(tt.to)))
		var by []string
		for _, d := range w.Decisions {
			for _, h := range d.Hops {
				id := "policy"
				if h.Ends[0].Rule != nil {
					id = h.Ends[0].Rule.ID
				}
				by = append(by, d.Device+":"+id)
			}
		}
		server := AddrText(w.Leaves.Src) + " > " + Endpoint(w.Leaves.Dst, w.Leaves.DstPort)
		if w.Verdict.String() != tt.verdict || server != tt.server || strings.Join(by, " ") != tt.by {
			t.Errorf("%s: %s: got %v, %s, by %v, want %s, %s, by %s", tt.to, tt.why, w.Verdict, server, by, tt.verdict, tt.server, tt.by)
		}
	}
	// Nobody knows where it lies: then the first device is the one to ask.
	if w := Follow(devices[:2], NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("192.0.2.1:25"))); w.Verdict != Denied || w.Decisions[0].Device != "outer" {
		t.Errorf("no device knows the way: got %v", w.Verdict)
	}
	if w := Follow(nil, NewFlow("wan", netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort("192.0.2.1:25"))); w.Verdict != Unread {
		t.Errorf("no device: got %v", w.Verdict)
	}
}
