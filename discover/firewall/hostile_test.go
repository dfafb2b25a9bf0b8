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

// What is not modelled, and may decide before the rules do, is told.
func TestNotesOfWhatIsNotModelled(t *testing.T) {
	const asa = "ASA Version 9.12\naccess-list OUT extended permit tcp any any eq smtp\n%saccess-group OUT in interface outside\n: end\n"
	const ios = "version 15.1\ninterface Gi0/0\n ip address 10.0.0.1 255.0.0.0\n ip access-group X in\n%sip access-list extended X\n permit tcp any any\nend\n"
	long := func(start string) string { return start + strings.Repeat("x", 17<<10) + "\n" }
	const pf = "<pfsense><interfaces><wan><enable/><ipaddr>198.51.100.1</ipaddr><subnet>24</subnet></wan></interfaces>%s<filter><rule><type>pass</type><interface>wan</interface><source><any/></source><destination><any/></destination></rule></filter></pfsense>"
	const forti = "#config-version=FGVM64-7.4.3-FW-build2573-240201:opmode=0:vdom=0:user=admin\nconfig system interface\nedit \"port1\"\nset ip 198.51.100.1 255.255.255.0\n%snext\nend\n%sconfig firewall policy\nedit 1\nset srcintf \"port1\"\nset dstintf \"any\"\nset action accept\nset srcaddr \"all\"\nset dstaddr \"all\"\nset schedule \"always\"\nset service \"ALL\"\n%snext\nend\n"
	panos := panosConfig(`<vsys><entry name="vsys1"><zone><entry name="out"><network><layer3><member>e1</member></layer3></network></entry></zone><rulebase>
<dos><rules><entry name="no mail"><from><zone><member>out</member></zone></from><action><deny/></action></entry></rules></dos>
<security><rules><entry name="r"><from><member>any</member></from><to><member>any</member></to><source><member>any</member></source><destination><member>any</member></destination><application><member>any</member></application><service><member>any</member></service><action>allow</action></entry></rules></security></rulebase></entry></vsys>`)
	for _, c := range []struct{ sentence, text, note, word string }{
		{"a line of ASA that is too long", fmt.Sprintf(asa, long("access-list OUT extended deny tcp any any log ")), "a line of more than 16 kB is left out", ""},
		{"a line of IOS that is too long", fmt.Sprintf(ios, long("access-list 101 deny tcp any any ")), "a line of more than 16 kB is left out", ""},
		{"a load balancer of pfSense", fmt.Sprintf(pf, "<load_balancer><virtual_server><name>mx</name></virtual_server></load_balancer>"), "load_balancer: virtual server mx is not modelled", ""},
		{"DoS protection of PAN-OS", panos, "DoS protection: rule no mail is asked before", ""},
		{"a DoS-policy", fmt.Sprintf(forti, "", "config firewall DoS-policy\nedit 1\nset interface \"port1\"\nnext\nend\n", ""), "config firewall DoS-policy is not modelled", ""},
		{"an interface-policy", fmt.Sprintf(forti, "", "config firewall interface-policy\nedit 1\nset interface \"port1\"\nnext\nend\n", ""), "config firewall interface-policy is not modelled", ""},
		{"an interface that is down", fmt.Sprintf(forti, "set status down\n", "", ""), "interface port1 is down", ""},
		{"a policy for VIPs alone", fmt.Sprintf(forti, "", "", "set match-vip-only enable\n"), "", "match-vip-only enable"},
		{"a setting that nobody knows", fmt.Sprintf(forti, "", "", "set frobnicate-match \"x\"\n"), "", "frobnicate-match x"},
		{"settings that are harmless", fmt.Sprintf(forti, "", "", "set logtraffic all\nset utm-status enable\nset ips-sensor \"default\"\nset ssl-ssh-profile \"certificate-inspection\"\nset nat enable\n"), "", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs, err := Read("fw", Export{File: File{Name: "c"}, Data: []byte(c.text)})
			if err != nil {
				t.Fatal(err)
			}
			if all := fmt.Sprint(rs.Notes); !strings.Contains(all, c.note) {
				t.Errorf("got notes %s, want %q", all, c.note)
			}
			var words []string
			for _, chain := range rs.Chains {
				for _, r := range chain.Rules {
					for _, m := range r.Match {
						if m.Field == Unmodelled {
							words = append(words, m.Word)
						}
					}
				}
			}
			if got := strings.Join(words, "; "); !strings.HasPrefix(c.sentence, "a line") && got != c.word && !strings.HasPrefix(got, c.word+"; ") {
				t.Errorf("got words %q, want %q", got, c.word)
			}
		})
	}
}
