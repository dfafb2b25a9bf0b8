package firewall

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// repeated is lines that a number makes.
func repeated(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

func hostNumber(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>14&255, i>>7&127, i<<1&255) }

// What is named many times is read once. Each of these took a thousand to a hundred thousand times its size.
func TestWhatIsNamedManyTimesIsHeldOnce(t *testing.T) {
	const n = 3000
	const asa = "ASA Version 9.12\ninterface GigabitEthernet0/0\n nameif outside\n security-level 0\n ip address 198.51.100.1 255.255.255.0\n%s\naccess-group X in interface outside\n: end\n"
	group := func(kind, member, use string) string {
		return fmt.Sprintf(asa, "object-group "+kind+" A\n"+repeated(n, func(i int) string {
			if kind == "network" {
				return " network-object host " + hostNumber(i) + "\n"
			}
			return fmt.Sprintf(" service-object tcp destination eq %d\n", 1+2*i)
		})+member+use)
	}
	many := func(line string) string { return strings.Repeat(line, n) }
	pf := func(inner string) string {
		return "<pfsense><interfaces><wan><enable/><ipaddr>198.51.100.1</ipaddr><subnet>24</subnet></wan></interfaces><aliases><alias><name>a</name><type>network</type><address>" +
			repeated(n, func(i int) string { return hostNumber(i) + " " }) + "</address></alias><alias><name>b</name><type>network</type><address>" + inner +
			"</address></alias></aliases><filter><rule><type>pass</type><interface>wan</interface><ipprotocol>inet</ipprotocol><source><address>b</address></source><destination><any/></destination></rule></filter></pfsense>"
	}
	for _, c := range []struct {
		sentence string
		files    []string
	}{
		{"a set of networks that many rules ask for", []string{
			"create s hash:net family inet\n" + repeated(n, func(i int) string { return "add s " + hostNumber(2*i) + "/31\n" }) +
				"*filter\n:FORWARD DROP [0:0]\n" + many("-A FORWARD -m set --match-set s src -j DROP\n") + "COMMIT\n",
		}},
		{"a set of pairs that many rules ask for", []string{
			"create s hash:ip,port family inet\n" + repeated(n, func(i int) string { return fmt.Sprintf("add s 10.0.0.1,tcp:%d\n", 1+i) }) +
				"*filter\n:FORWARD DROP [0:0]\n" + many("-A FORWARD -m set --match-set s dst,dst -j DROP\n") + "COMMIT\n",
		}},
		{"a group of addresses that is in another many times", []string{
			group("network", "object-group network B\n"+many(" group-object A\n"), "access-list X extended permit tcp any object-group B eq smtp"),
		}},
		{"a group of services that is in another many times", []string{
			group("service", "object-group service B\n"+many(" group-object A\n"), "access-list X extended permit object-group B any any"),
		}},
		{"a group of services that many lines name", []string{
			group("service", "", many("access-list X extended permit object-group A any any\n")),
		}},
		{"an alias that is in another many times", []string{pf(many("a "))}},
		{"an alias with an exception that is in another many times", []string{pf("!10.0.0.9 " + many("a "))}},
		{"a prefix list that many rules name", []string{
			`{"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "g", "VpcId": "vpc-1", "IpPermissions": [{}` + repeated(n, func(i int) string {
				return fmt.Sprintf(`,{"IpProtocol": "tcp", "FromPort": %d, "ToPort": %d, "PrefixListIds": [{"PrefixListId": "pl-0a1b2c3d4e5f60718"}]}`, i, i)
			}) + `]}]}`,
			`{"PrefixLists": [{"PrefixListId": "pl-0a1b2c3d4e5f60718", "PrefixListName": "x", "Cidrs": ["10.255.0.0/16"` +
				repeated(n, func(i int) string { return `,"` + hostNumber(i) + `/32"` }) + `]}]}`,
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var files []Export
			size := uint64(0)
			for i, text := range c.files {
				files = append(files, Export{File: File{Name: fmt.Sprint("f", i)}, Data: []byte(text)})
				size += uint64(len(text))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rs, err := Read("fw", files...)
			runtime.ReadMemStats(&after)
			if err != nil || len(rs.Chains) == 0 {
				t.Fatalf("got %v, want rules", err)
			}
			if times := (after.TotalAlloc - before.TotalAlloc) / size; times > 300 {
				t.Errorf("%d kB took %d times their size of memory", size>>10, times)
			}
		})
	}
}

// 4^30 ways lead through the chains of a bridge.
func TestFramesThatManyJumpsLeadAreFollowedOnce(t *testing.T) {
	const depth = 30
	for _, c := range []struct {
		end  string
		note bool
	}{{`{"accept": null}`, false}, {`{"drop": null}`, true}} {
		text := `{"nftables": [{"table": {"family": "bridge", "name": "t", "handle": 1}}` + repeated(depth+1, func(i int) string {
			hook := ""
			if i == 0 {
				hook = `, "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"`
			}
			return fmt.Sprintf(`,{"chain": {"family": "bridge", "table": "t", "name": "c%d", "handle": %d%s}}`, i, i+2, hook)
		}) + repeated(4*depth, func(i int) string {
			return fmt.Sprintf(`,{"rule": {"family": "bridge", "table": "t", "chain": "c%d", "handle": 99, "expr": [{"jump": {"target": "c%d"}}]}}`, i/4, i/4+1)
		}) + fmt.Sprintf(`,{"rule": {"family": "bridge", "table": "t", "chain": "c%d", "handle": 99, "expr": [%s]}}]}`, depth, c.end)
		if rs := readNftables(t, text); len(rs.Notes) > 0 != c.note {
			t.Errorf("%s: got notes %v, want any: %v", c.end, rs.Notes, c.note)
		}
	}
}
