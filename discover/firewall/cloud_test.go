package firewall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cloudFixtures are the exports of each device under testdata, without the flows.
func cloudFixtures(t testing.TB) map[string][]Export {
	out := make(map[string][]Export)
	for _, language := range []string{"aws", "azure", "gcp"} {
		names, err := filepath.Glob("testdata/" + language + "/*.json")
		if err != nil || len(names) == 0 {
			t.Fatal(language, err)
		}
		for _, name := range names {
			stem, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), "-")
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			key := language + "/" + stem
			out[key] = append(out[key], Export{File: File{Name: filepath.Base(name)}, Data: data})
		}
	}
	return out
}

// cloudFlows are the connections of a .flows file.
func cloudFlows(t testing.TB, key string) (out []Flow) {
	text, err := os.ReadFile("testdata/" + key + ".flows")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] == "#" || f[2] != ">" {
			continue
		}
		src, err := netip.ParseAddrPort(f[1])
		if err != nil {
			src = netip.AddrPortFrom(netip.MustParseAddr(f[1]), 0)
		}
		out = append(out, NewFlow(f[0], src, netip.MustParseAddrPort(f[3])))
	}
	if len(out) == 0 {
		t.Fatalf("%s: no flows", key)
	}
	return out
}

// clone copies exports: Read may change their data.
func clone(files []Export) []Export {
	out := slices.Clone(files)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// The rule of an ID, wherever it stands.
func cloudRule(t *testing.T, rs *Ruleset, chain, id string) (*Chain, *Rule, int) {
	t.Helper()
	for name, ch := range rs.Chains {
		for i, r := range ch.Rules {
			if r.ID == id && strings.Contains(name, chain) {
				return ch, r, i
			}
		}
	}
	t.Fatalf("no rule %s in %s", id, chain)
	return nil, nil, 0
}

func TestCloudRulesSayWhereAndWhat(t *testing.T) {
	rulesets := make(map[string]*Ruleset)
	for key, files := range cloudFixtures(t) {
		rs, err := Read(key, files...)
		if err != nil {
			t.Fatal(err)
		}
		rulesets[key] = rs
	}
	for _, c := range []struct{ device, id, place, text, comment, owner, ticket string }{
		{
			"aws/vpc", "sgr-0partner", "vpc-groups.json:11-14", `sg-0aaa "mail" ingress tcp 25 from 203.0.113.0/24`,
			"partner, owner: netops@org.example CHG0012345", "mail-team", "CHG0012345",
		},
		{"aws/vpc", "sg-0aaa/ingress/4", "vpc-groups.json:36-39", `sg-0aaa "mail" ingress tcp 587 from pl-0a1b2c3d4e5f60718`, "customers", "mail-team", ""},
		{"aws/vpc", "sg-0bbb/ingress/1", "vpc-groups.json:93-97", `sg-0bbb "web" ingress tcp 2525 from sg-0aaa`, "only mail may", "", ""},
		{"aws/vpc", "sgr-0open", "vpc-groups.json:129-131", `sg-0ccc "open" ingress all from 0.0.0.0/0`, "", "", ""},
		{"aws/vpc", "acl-0one/ingress/100", "vpc-acls.json:15", "acl-0one ingress 100 deny tcp 25 from 198.51.100.128/25", "", "", ""},
		{"aws/vpc", "eipassoc-0mail", "vpc-interfaces.json:11-15", "eni-0mail public 192.0.2.10 to 10.0.1.25", "", "", ""},
		{
			"azure/hub", "nsg-subnet/inbound/200", "hub-nsg.json:133-156", `nsg-subnet 200 "AllowMail" inbound Allow Tcp from Internet to * port 25,465-587`,
			"mail from anywhere; owner: netops@org.example #4711", "netops@org.example", "4711",
		},
		{"azure/alone", "nsg-subnet/inbound/65500", "alone.json:43-62", `nsg-subnet 65500 "DenyAllInBound" inbound Deny * from * to *`, "", "", ""},
		{"azure/arm", "nsg-arm/inbound/100", "arm-nsg.json:1", `nsg-arm 100 "smtp" inbound Allow Tcp from 203.0.113.0/24 to * port 25`, "", "", ""},
		{
			"gcp/prod", "allow-smtp", "prod-rules.json:2-34", `default ingress priority 1000 "allow-smtp" allow tcp:25,465-587,icmp from 0.0.0.0/0 to tag mail`,
			"mail from anywhere, owner: netops@org.example CHG0012345", "netops@org.example", "CHG0012345",
		},
		{"gcp/policy", "org-policy/200", "policy-effective.json:52-73", "org-policy ingress priority 200 allow tcp:587 srcIpRanges 0.0.0.0/0", "submission always", "", ""},
	} {
		t.Run(c.device+" "+c.id, func(t *testing.T) {
			_, r, _ := cloudRule(t, rulesets[c.device], "", c.id)
			place := fmt.Sprint(r.Where.File, ":", r.Where.Line)
			if r.Where.End != 0 {
				place += fmt.Sprint("-", r.Where.End)
			}
			if place != c.place || r.Text != c.text || r.Comment != c.comment || r.Owner != c.owner || r.Ticket != c.ticket {
				t.Errorf("got  %s %q %q %q %q\nwant %s %q %q %q %q", place, r.Text, r.Comment, r.Owner, r.Ticket, c.place, c.text, c.comment, c.owner, c.ticket)
			}
		})
	}
	_, r, _ := cloudRule(t, rulesets["gcp/prod"], "", "allow-smtp")
	if want := time.Date(2024, 3, 1, 17, 30, 0, 0, time.UTC); !r.Created.Time.Equal(want) {
		t.Errorf("allow-smtp: created %v, want %v", r.Created.Time, want)
	}
	if _, r, _ := cloudRule(t, rulesets["gcp/prod"], "", "off"); !r.Disabled {
		t.Error("off: is not disabled")
	}
}

// How the JSON is laid out does not matter, nor in which order files are named.
func TestCloudLayoutDoesNotMatter(t *testing.T) {
	for key, files := range cloudFixtures(t) {
		t.Run(key, func(t *testing.T) {
			other := clone(files)
			slices.Reverse(other)
			for i := range other {
				var b bytes.Buffer
				if err := json.Compact(&b, other[i].Data); err != nil {
					t.Fatal(err)
				}
				other[i].Data = b.Bytes()
			}
			a, err := Read("a", clone(files)...)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Read("b", other...)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range cloudFlows(t, key) {
				src, dst := netip.AddrPortFrom(f.Src.First.Addr(), 0), netip.AddrPortFrom(f.Dst.First.Addr(), 0)
				if got, want := shown(b.Decide(f), src, dst), shown(a.Decide(f), src, dst); got != want {
					t.Errorf("%v: got %s, want %s", f, got, want)
				}
			}
			for _, ch := range b.Chains {
				for _, r := range ch.Rules {
					if r.Where.Line != 1 || r.Where.End != 0 {
						t.Errorf("%s: is at %+v of a file of one line", r.Text, r.Where)
					}
				}
			}
		})
	}
}

// lies reports whether an answer from less is another one. What is possible can turn out to be denied: without its
// translation, a packet to a public address is judged on its way out alone.
func lies(got, want Verdict) bool {
	return got != want && got != Possibly && (want != Possibly || got != Denied)
}

// An export that ends in the middle makes answers possible, or is refused. It never turns one round.
func TestCloudTruncatedExportsNeverLie(t *testing.T) {
	read := 0
	for key, files := range cloudFixtures(t) {
		t.Run(key, func(t *testing.T) {
			whole, err := Read("whole", clone(files)...)
			if err != nil {
				t.Fatal(err)
			}
			flows := cloudFlows(t, key)
			var wants []Verdict
			for _, f := range flows {
				wants = append(wants, whole.Decide(f).Verdict)
			}
			for i := range files {
				data := bytes.TrimSpace(files[i].Data)
				for cut := range 20 {
					part := clone(files)
					part[i].Data = bytes.Clone(data[:len(data)*cut/20])
					rs, err := Read("part", part...)
					if err != nil {
						continue
					}
					read++
					if !slices.ContainsFunc(rs.Notes, func(n Note) bool { return strings.Contains(n.Text, "the JSON ends") }) {
						t.Errorf("%s cut to %d bytes: no note says so", files[i].Name, len(part[i].Data))
					}
					for k, f := range flows {
						if rs.Zone(f.In) != nil {
							continue
						}
						if got, want := rs.Decide(f).Verdict, wants[k]; lies(got, want) {
							t.Fatalf("%s cut to %d bytes: %s %s > %s:%d: got %v, want %v", files[i].Name, len(part[i].Data), f.In, f.Src.First.Addr(), f.Dst.First.Addr(), f.DstPort.First.Lo, got, want)
						}
					}
				}
			}
		})
	}
	if read < 150 {
		t.Errorf("only %d truncated exports could be read", read)
	}
}

// Without one of the files an answer may become possible, and never another.
func TestCloudMissingFilesNeverLie(t *testing.T) {
	for key, files := range cloudFixtures(t) {
		t.Run(key, func(t *testing.T) {
			whole, err := Read("whole", clone(files)...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range files {
				if strings.Contains(files[i].Name, "-effective") || len(files) == 1 {
					continue // rules that nobody knows of cannot be missed
				}
				rs, err := Read("part", slices.Delete(clone(files), i, i+1)...)
				if err != nil {
					continue
				}
				for _, f := range cloudFlows(t, key) {
					if rs.Zone(f.In) != nil {
						continue
					}
					if got, want := rs.Decide(f).Verdict, whole.Decide(f).Verdict; lies(got, want) {
						t.Errorf("without %s: %s %s > %s:%d: got %v, want %v", files[i].Name, f.In, f.Src.First.Addr(), f.Dst.First.Addr(), f.DstPort.First.Lo, got, want)
					}
				}
			}
		})
	}
}

func TestCloudBadExports(t *testing.T) {
	const group = `{"SecurityGroups":[{"GroupId":"sg-1","IpPermissions":[]}]}`
	for _, c := range []struct{ name, data, want string }{
		{"a list of nothing", `{"SecurityGroups": []}`, "export aws ec2 describe-security-groups"},
		{"a list that is cut before its first element", `{"SecurityGroups": [{"GroupId": "sg-1"`, "no security group and no network ACL"},
		{"interfaces alone", `{"NetworkInterfaces": []}`, "no security group and no network ACL"},
		{"no network security group", `[{"id": "/subscriptions/1/resourceGroups/r/providers/Microsoft.Network/networkInterfaces/n"}]`, "export az network nsg list"},
		{"no firewall rule", `[{"kind": "compute#instance"}]`, "export gcloud compute firewall-rules list"},
		{"another JSON", `{"Reservations": []}`, "no rule export that is known"},
		{"an array of numbers", `[1, 2, 3]`, "no rule export that is known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read("x", Export{File: File{Name: "x.json"}, Data: []byte(c.data)})
			if err == nil || !strings.HasPrefix(err.Error(), "x.json:1: ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want x.json:1: … %s", err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, data, want string }{
		{"a list that goes on", strings.TrimSuffix(group, "}") + `,"NextToken":"abc"}`, "x.json:1: the list has further pages"},
		{"a token that is null says nothing", strings.TrimSuffix(group, "}") + `,"NextToken":null}`, ""},
		{"a list that is cut", "{\"SecurityGroups\":[{\"GroupId\":\"sg-1\"},\n{\"GroupId\":\"sg-", "x.json:2: the JSON ends or is wrong here"},
		{"garbage in the middle", "{\"SecurityGroups\":[{\"GroupId\":\"sg-1\"},\n\n!,{\"GroupId\":\"sg-2\"}]}", "x.json:3: the JSON ends or is wrong here"},
		{"entries of nobody knows which list", group + ` {"Entries":[{"Cidr":"10.0.0.0/8"}]}`, ""},
		{"a thing that is none", `{"SecurityGroups":[{"GroupId":"sg-1"},{"GroupName":"x"}]}`, "x.json:1: is nothing that describes a VPC; it is left out"},
		{"garbage without end", group + strings.Repeat("\n{}", 2000), "x.json:101: the JSON ends or is wrong here"},
		{"brackets without end", group + strings.Repeat("[", 100000), "x.json:1: the JSON ends or is wrong here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs, err := Read("x", Export{File: File{Name: "x.json"}, Data: []byte(c.data)})
			if err != nil {
				t.Fatal(err)
			}
			var notes []string
			for _, n := range rs.Notes {
				notes = append(notes, fmt.Sprintf("%s:%d: %s", n.Where.File, n.Where.Line, n.Text))
			}
			got := strings.Join(notes, "\n")
			if c.want == "" && (strings.Contains(got, "further pages") || strings.Contains(got, "wrong here")) || !strings.Contains(got, c.want) {
				t.Errorf("got notes %s, want %q", got, c.want)
			}
		})
	}
}

// Entries of a prefix list are of the list that the file's name tells, or of none.
func TestAWSPrefixListIsNamedByItsFile(t *testing.T) {
	groups := `{"SecurityGroups":[{"GroupId":"sg-1","VpcId":"vpc-1","IpPermissions":[{"IpProtocol":"tcp","FromPort":25,"ToPort":25,"PrefixListIds":[{"PrefixListId":"pl-0123456789"}]}]}]}`
	rest := `{"NetworkInterfaces":[{"NetworkInterfaceId":"eni-1","VpcId":"vpc-1","SubnetId":"subnet-1","Groups":[{"GroupId":"sg-1"}],"PrivateIpAddresses":[{"PrivateIpAddress":"10.0.0.5"}]}]}`
	acls := `{"NetworkAcls":[{"NetworkAclId":"acl-1","VpcId":"vpc-1","Associations":[{"SubnetId":"subnet-1"}],"Entries":[{"Egress":true,"Protocol":"-1","CidrBlock":"0.0.0.0/0","RuleAction":"allow","RuleNumber":1},{"Egress":false,"Protocol":"-1","CidrBlock":"0.0.0.0/0","RuleAction":"allow","RuleNumber":1}]}]}`
	subnets := `{"Subnets":[{"SubnetId":"subnet-1","VpcId":"vpc-1","CidrBlock":"10.0.0.0/24"}]}`
	entries := `{"Entries":[{"Cidr":"203.0.113.0/24"}]}`
	for _, c := range []struct {
		name, file, entries, from string
		want                      Verdict
	}{
		{"a file that is named after the list", "pl-0123456789.json", entries, "203.0.113.9", Permitted},
		{"an address that is not in it", "pl-0123456789.json", entries, "198.51.100.9", Denied},
		{"a file with another name", "entries.json", entries, "198.51.100.9", Possibly},
		{"a file of another list", "pl-0999999999.json", entries, "203.0.113.9", Possibly},
		{"a list that is cut", "pl-0123456789.json", `{"Entries":[{"Cidr":"203.0.113.0/24"},{"Ci`, "198.51.100.9", Possibly},
		{"a list that is cut holds what was read", "pl-0123456789.json", `{"Entries":[{"Cidr":"203.0.113.0/24"},{"Ci`, "203.0.113.9", Permitted},
		{"a list that goes on", "pl-0123456789.json", `{"Entries":[{"Cidr":"203.0.113.0/24"}],"NextToken":"x"}`, "198.51.100.9", Possibly},
		{"a file that says which list", "e.json", `{"PrefixListId":"pl-0123456789","Entries":[{"Cidr":"203.0.113.0/24"}]}`, "198.51.100.9", Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files []Export
			for name, data := range map[string]string{"g.json": groups, "i.json": rest, "a.json": acls, "s.json": subnets, c.file: c.entries} {
				files = append(files, Export{File: File{Name: name}, Data: []byte(data)})
			}
			rs, err := Read("x", files...)
			if err != nil {
				t.Fatal(err)
			}
			if d := rs.Decide(NewFlow(internet, netip.AddrPortFrom(netip.MustParseAddr(c.from), 40000), netip.MustParseAddrPort("10.0.0.5:25"))); d.Verdict != c.want {
				t.Errorf("got %v because %q, want %v", d.Verdict, d.Words, c.want)
			}
		})
	}
}

// An address that two networks of an export have cannot be told apart.
func TestCloudAddressOfTwoNetworks(t *testing.T) {
	data := `{"SecurityGroups":[{"GroupId":"sg-1","VpcId":"vpc-1","IpPermissions":[{"IpProtocol":"-1","IpRanges":[{"CidrIp":"0.0.0.0/0"}]}]},{"GroupId":"sg-2","VpcId":"vpc-2","IpPermissions":[]}]}
{"NetworkAcls":[{"NetworkAclId":"acl-1","VpcId":"vpc-1","Associations":[{"SubnetId":"subnet-1"},{"SubnetId":"subnet-2"}],"Entries":[{"Egress":true,"Protocol":"-1","CidrBlock":"0.0.0.0/0","RuleAction":"allow","RuleNumber":1},{"Egress":false,"Protocol":"-1","CidrBlock":"0.0.0.0/0","RuleAction":"allow","RuleNumber":1}]}]}
{"NetworkInterfaces":[
{"NetworkInterfaceId":"eni-1","VpcId":"vpc-1","SubnetId":"subnet-1","Groups":[{"GroupId":"sg-1"}],"PrivateIpAddresses":[{"PrivateIpAddress":"10.0.0.5"},{"PrivateIpAddress":"10.0.0.6"}]},
{"NetworkInterfaceId":"eni-2","VpcId":"vpc-2","SubnetId":"subnet-2","Groups":[{"GroupId":"sg-2"}],"PrivateIpAddresses":[{"PrivateIpAddress":"10.0.0.5"},{"PrivateIpAddress":"10.0.0.7"}]}]}`
	rs, err := Read("x", Export{File: File{Name: "all.json"}, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]Verdict{"10.0.0.5:25": Possibly, "10.0.0.6:25": Permitted, "10.0.0.7:25": Denied} {
		if d := rs.Decide(NewFlow(internet, netip.MustParseAddrPort("203.0.113.9:40000"), netip.MustParseAddrPort(to))); d.Verdict != want {
			t.Errorf("%s: got %v because %q, want %v", to, d.Verdict, d.Words, want)
		}
	}
}

func TestCloudEdits(t *testing.T) {
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	mail := netip.MustParseAddrPort("10.0.1.25:25")
	for _, c := range []struct {
		name, device, chain, rule string
		edit                      Edit
		want                      []string
	}{
		{"a rule of a security group with an ID of its own", "aws/vpc", "ingress", "sgr-0partner", Edit{Kind: Remove}, []string{
			"aws ec2 revoke-security-group-ingress --group-id sg-0aaa --security-group-rule-ids sgr-0partner",
		}},
		{"a rule of a security group by its permission", "aws/vpc", "ingress", "sg-0aaa/ingress/2", Edit{Kind: Remove}, []string{
			`aws ec2 revoke-security-group-ingress --group-id sg-0aaa --ip-permissions '[{"IpProtocol":"tcp","FromPort":25,"ToPort":25,"IpRanges":[{"CidrIp":"198.51.100.0/24"}]}]'`,
		}},
		{"a prefix list as source", "aws/vpc", "ingress", "sg-0aaa/ingress/5", Edit{Kind: Remove}, []string{
			`aws ec2 revoke-security-group-ingress --group-id sg-0aaa --ip-permissions '[{"IpProtocol":"tcp","FromPort":587,"ToPort":587,"PrefixListIds":[{"PrefixListId":"pl-0fffffffffffffff0"}]}]'`,
		}},
		{"a security group as source", "aws/vpc", "ingress", "sg-0bbb/ingress/1", Edit{Kind: Remove}, []string{
			`aws ec2 revoke-security-group-ingress --group-id sg-0bbb --ip-permissions '[{"IpProtocol":"tcp","FromPort":2525,"ToPort":2525,"UserIdGroupPairs":[{"GroupId":"sg-0aaa"}]}]'`,
		}},
		{"fewer sources: first the new ones, then the old one goes", "aws/vpc", "ingress", "sgr-0open", Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/28", "2001:db8::/32")}, []string{
			`aws ec2 authorize-security-group-ingress --group-id sg-0ccc --ip-permissions '[{"IpProtocol":"-1","IpRanges":[{"CidrIp":"203.0.113.0/28"}],"Ipv6Ranges":[{"CidrIpv6":"2001:db8::/32"}]}]'`,
			"aws ec2 revoke-security-group-ingress --group-id sg-0ccc --security-group-rule-ids sgr-0open",
		}},
		{"a security group cannot deny", "aws/vpc", "ingress", "sgr-0partner", Edit{Kind: DenyAbove, Dst: mail}, nil},
		{"a prefix list loses an entry", "aws/vpc", "ingress", "sg-0aaa/ingress/4", Edit{Kind: DropMember, Object: "pl-0a1b2c3d4e5f60718", Member: PrefixRange(netip.MustParsePrefix("203.0.113.64/26"))}, []string{
			`aws ec2 modify-managed-prefix-list --prefix-list-id pl-0a1b2c3d4e5f60718 --current-version "$(aws ec2 describe-managed-prefix-lists --prefix-list-ids pl-0a1b2c3d4e5f60718 --query 'PrefixLists[0].Version' --output text)" --remove-entries Cidr=203.0.113.64/26`,
		}},
		{"an entry of an ACL that denies, with the free number before", "aws/vpc", "acl-0one", "acl-0one/ingress/200", Edit{Kind: DenyAbove, Dst: mail, Sources: prefixes("203.0.113.0/24")}, []string{
			"# an entry of a network ACL is for all addresses of its subnets, not for 10.0.1.25 alone",
			"aws ec2 create-network-acl-entry --network-acl-id acl-0one --ingress --rule-number 199 --protocol 6 --port-range From=25,To=25 --cidr-block 203.0.113.0/24 --rule-action deny",
		}},
		{"an entry of an ACL goes", "aws/vpc", "acl-0one", "acl-0one/ingress/200", Edit{Kind: Remove}, []string{
			"aws ec2 delete-network-acl-entry --network-acl-id acl-0one --ingress --rule-number 200",
		}},
		{"the last entry of an ACL stays", "aws/vpc", "acl-0one", "acl-0one/ingress/32767", Edit{Kind: Remove}, nil},
		{"an entry of an ACL for two sources", "aws/vpc", "acl-0one", "acl-0one/ingress/200", Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/24", "198.51.100.0/24")}, []string{
			"aws ec2 replace-network-acl-entry --network-acl-id acl-0one --ingress --rule-number 200 --protocol 6 --port-range From=0,To=65535 --cidr-block 203.0.113.0/24 --rule-action allow",
			"aws ec2 create-network-acl-entry --network-acl-id acl-0one --ingress --rule-number 199 --protocol 6 --port-range From=0,To=65535 --cidr-block 198.51.100.0/24 --rule-action allow",
		}},
		{"an elastic address goes", "aws/vpc", "public", "eipassoc-0mail", Edit{Kind: StopNAT}, []string{"aws ec2 disassociate-address --association-id eipassoc-0mail"}},
		{"an address that AWS gave cannot go", "aws/vpc", "public", "eni-0open", Edit{Kind: StopNAT}, nil},
		{"a rule of a network security group that denies", "azure/hub", "nsg-subnet inbound", "nsg-subnet/inbound/200", Edit{Kind: DenyAbove, Dst: mail}, []string{
			"az network nsg rule create --resource-group rg-mail --nsg-name nsg-subnet --name deny-25-199 --priority 199 --direction Inbound --access Deny --protocol Tcp --source-address-prefixes '*' --source-port-ranges '*' --destination-address-prefixes 10.0.1.25/32 --destination-port-ranges 25",
		}},
		{"a default rule: the last priority that is free", "azure/hub", "nsg-subnet inbound", "nsg-subnet/inbound/65000", Edit{Kind: DenyAbove, Dst: mail, Sources: prefixes("10.2.0.0/16")}, []string{
			"az network nsg rule create --resource-group rg-mail --nsg-name nsg-subnet --name deny-25-4096 --priority 4096 --direction Inbound --access Deny --protocol Tcp --source-address-prefixes 10.2.0.0/16 --source-port-ranges '*' --destination-address-prefixes 10.0.1.25/32 --destination-port-ranges 25",
		}},
		{"a default rule stays", "azure/hub", "nsg-subnet inbound", "nsg-subnet/inbound/65000", Edit{Kind: Remove}, nil},
		{"a rule of a network security group goes", "azure/hub", "nsg-nic inbound", "nsg-nic/inbound/300", Edit{Kind: Remove}, []string{
			"az network nsg rule delete --resource-group rg-mail --nsg-name nsg-nic --name AllowSMTP",
		}},
		{"a rule of a network security group for fewer sources", "azure/hub", "nsg-nic inbound", "nsg-nic/inbound/300", Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/28", "198.51.100.0/28")}, []string{
			"az network nsg rule update --resource-group rg-mail --nsg-name nsg-nic --name AllowSMTP --source-address-prefixes 203.0.113.0/28 198.51.100.0/28",
		}},
		{"a public address of Azure goes", "azure/hub", "public", "rg-mail/nic-mail/ipconfig1", Edit{Kind: StopNAT}, []string{
			"az network nic ip-config update --resource-group rg-mail --nic-name nic-mail --name ipconfig1 --remove publicIPAddress",
		}},
		{"a rule of GCP that denies at the same priority", "gcp/prod", "default ingress", "allow-smtp", Edit{Kind: DenyAbove, Dst: mail, Sources: prefixes("203.0.113.0/24")}, []string{
			"gcloud compute firewall-rules create deny-25-10-0-1-25 --network=default --direction=INGRESS --priority=1000 --action=DENY --rules=tcp:25 --source-ranges=203.0.113.0/24 --destination-ranges=10.0.1.25/32",
		}},
		{"a rule of GCP goes", "gcp/prod", "default ingress", "allow-smtp", Edit{Kind: Remove}, []string{"gcloud compute firewall-rules delete allow-smtp"}},
		{"a rule of GCP for fewer sources", "gcp/prod", "default ingress", "allow-smtp", Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/24")}, []string{
			"gcloud compute firewall-rules update allow-smtp --source-ranges=203.0.113.0/24",
		}},
		{"a tag as source stays when ranges change", "gcp/prod", "default ingress", "allow-web-to-mail", Edit{Kind: Narrow, Sources: prefixes("203.0.113.0/24")}, nil},
		{"what is implied stays", "gcp/prod", "default ingress", "implied-ingress", Edit{Kind: Remove}, nil},
		{"an external address goes", "gcp/prod", "external", "us-central1-a/mail-1/nic0", Edit{Kind: StopNAT}, []string{
			`gcloud compute instances delete-access-config mail-1 --zone=us-central1-a --network-interface=nic0 --access-config-name="External NAT"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs, err := Read("x", cloudFixtures(t)[c.device]...)
			if err != nil {
				t.Fatal(err)
			}
			c.edit.Chain, c.edit.Rule, c.edit.At = cloudRule(t, rs, c.chain, c.rule)
			i := slices.IndexFunc(languages, func(l language) bool { return l.name == rs.Language })
			if got := languages[i].edit(rs, c.edit); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// A name in an export cannot become a command.
func TestCloudEditsNameNoCommands(t *testing.T) {
	for _, name := range []string{"x; reboot", "$(reboot)", "--all", "x'y", "x\ny", "`id`", ""} {
		q, _ := json.Marshal(name)
		for _, data := range []string{
			`[{"kind":"compute#firewall","name":` + string(q) + `,"network":"default","allowed":[{"IPProtocol":"tcp"}],"sourceRanges":["0.0.0.0/0"]}]`,
			`[{"id":"/subscriptions/1/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n","name":"n","securityRules":[{"name":` + string(q) + `,"priority":300,"direction":"Inbound","access":"Allow","protocol":"*","sourceAddressPrefix":"*","sourcePortRange":"*","destinationAddressPrefix":"*","destinationPortRange":"*"}]}]`,
			`{"SecurityGroups":[{"GroupId":` + string(q) + `,"IpPermissions":[{"IpProtocol":"-1","IpRanges":[{"CidrIp":"0.0.0.0/0"}]}]},{"GroupId":"sg-1"}]}`,
		} {
			rs, err := Read("x", Export{File: File{Name: "x"}, Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(languages, func(l language) bool { return l.name == rs.Language })
			for _, ch := range rs.Chains {
				for at, r := range ch.Rules {
					if got := languages[i].edit(rs, Edit{Kind: Remove, Chain: ch, Rule: r, At: at}); got != nil {
						t.Errorf("%q: got %q", name, got)
					}
				}
			}
		}
	}
}

func TestCloudShowsNoSecrets(t *testing.T) {
	const s = "hunter2secret"
	for name, data := range map[string]string{
		"aws":   `{"SecurityGroups":[{"GroupId":"sg-1","GroupName":"password=` + s + `","IpPermissions":[{"IpProtocol":"tcp","FromPort":25,"ToPort":25,"IpRanges":[{"CidrIp":"psk=` + s + `","Description":"secret: ` + s + `"}]}]}]}`,
		"azure": `[{"id":"/subscriptions/1/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n","name":"n","securityRules":[{"name":"a","description":"password ` + s + `","priority":300,"direction":"Inbound","access":"Allow","protocol":"token=` + s + `","sourceAddressPrefix":"secret=` + s + `","sourcePortRange":"*","destinationAddressPrefix":"*","destinationPortRange":"*"}]}]`,
		"gcp":   `[{"kind":"compute#firewall","name":"password=` + s + `","description":"token: ` + s + `","network":"n","allowed":[{"IPProtocol":"tcp","ports":["secret=` + s + `"]}],"sourceRanges":["password=` + s + `"]},{"kind":"compute#instance","name":"i","metadata":{"items":[{"key":"script","value":"` + s + `"}]},"networkInterfaces":[{"networkIP":"token=` + s + `"}]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			rs, err := Read("x", Export{File: File{Name: "x"}, Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprint(rs.Notes)
			rules := 0
			var words func(m Match)
			words = func(m Match) {
				for _, t := range m {
					all += t.Word
					for _, a := range t.Any {
						words(a)
					}
				}
			}
			for _, ch := range rs.Chains {
				for _, r := range ch.Rules {
					all += r.Text + r.Comment + r.Name + strings.Join(r.Words, "")
					words(r.Match)
					rules++
				}
			}
			if rules == 0 || strings.Contains(all, s) {
				t.Errorf("%d rules: %s", rules, all)
			}
		})
	}
}

// fuzzCloud reads files that are separated by a zero byte.
func fuzzCloud(f *testing.F, language string) {
	for key, files := range cloudFixtures(f) {
		if !strings.HasPrefix(key, language) {
			continue
		}
		var all []byte
		for _, e := range files {
			var b bytes.Buffer
			if err := json.Compact(&b, e.Data); err != nil {
				f.Fatal(err)
			}
			all = append(append(all, b.Bytes()...), 0)
			f.Add(b.Bytes()[:b.Len()/2])
		}
		f.Add(all)
		f.Add(all[:len(all)*2/3])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var files []Export
		for i, part := range bytes.SplitN(data, []byte{0}, 8) {
			files = append(files, Export{File: File{Name: fmt.Sprint("f", i)}, Data: part})
		}
		rs, err := Read("x", files...)
		if err != nil {
			return
		}
		ends := make(map[string]int)
		for _, e := range files {
			ends[e.Name] = bytes.Count(e.Data, []byte("\n")) + 1
		}
		for _, ch := range rs.Chains {
			for _, r := range ch.Rules {
				if p := r.Where; p.Line < 1 || max(p.Line, p.End) > ends[p.File] || p.End != 0 && p.End <= p.Line {
					t.Errorf("%s: is at %+v", r.Text, p)
				}
			}
		}
		for _, in := range []string{internet, instances, "vpc-0123", ""} {
			for _, to := range []string{"192.0.2.10:25", "10.0.1.25:25", "[2001:db8::1]:587"} {
				rs.Decide(NewFlow(in, netip.MustParseAddrPort("203.0.113.9:0"), netip.MustParseAddrPort(to)))
			}
		}
	})
}

func FuzzAWS(f *testing.F)   { fuzzCloud(f, "aws") }
func FuzzAzure(f *testing.F) { fuzzCloud(f, "azure") }
func FuzzGCP(f *testing.F)   { fuzzCloud(f, "gcp") }

// Names of firewall policies are unique in a region, or below one parent, only.
func TestGCPPoliciesOfOneName(t *testing.T) {
	policy := func(region, parent, action string) string {
		return fmt.Sprintf(`{"kind": "compute#firewallPolicy", "name": "mail", "region": %q, "parent": %q,
"associations": [{"attachmentTarget": "https://www.googleapis.com/compute/v1/projects/p/global/networks/default", "name": "a"}],
"rules": [{"action": %q, "direction": "INGRESS", "priority": 100, "match": {"srcIpRanges": ["0.0.0.0/0"], "layer4Configs": [{"ipProtocol": "tcp", "ports": ["25"]}]}}]}`, region, parent, action)
	}
	const url = "https://www.googleapis.com/compute/v1/projects/p/"
	const machine = `{"kind": "compute#instance", "name": "mail-1", "zone": "` + url + `zones/europe-west1-b", "networkInterfaces": [{"name": "nic0", "network": "` + url + `global/networks/default", "networkIP": "10.132.0.2", "accessConfigs": [{"name": "External NAT", "natIP": "192.0.2.2"}]}]}`
	for _, c := range []struct {
		sentence, first, second string
		want                    Verdict
	}{
		{"the second is of the machine's region", policy(url+"regions/us-central1", "", "deny"), policy(url+"regions/europe-west1", "", "allow"), Permitted},
		{"the first is of the machine's region", policy(url+"regions/europe-west1", "", "deny"), policy(url+"regions/us-central1", "", "allow"), Denied},
		{"both are below other folders", policy("", "folders/1", "goto_next"), policy("", "folders/2", "allow"), Permitted},
		{"it is exported twice", policy("", "folders/1", "goto_next"), policy("", "folders/1", "goto_next"), Denied},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			rs, err := Read("fw", export("g.json", "["+machine+",\n"+c.first+",\n"+c.second+"]"))
			if err != nil {
				t.Fatal(err)
			}
			if d := rs.Decide(NewFlow("internet", netip.MustParseAddrPort("203.0.113.9:40000"), netip.MustParseAddrPort("192.0.2.2:25"))); d.Verdict != c.want {
				t.Errorf("got %v because %q, want %v", d.Verdict, d.Words, c.want)
			}
		})
	}
}
