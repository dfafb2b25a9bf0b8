package source

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"dns:mail.org.example", "dns:mail.org.example"},
		{" mx:Org.Example. ", "mx:org.example"},
		{"spf:org.example", "spf:org.example"},
		{"ptr:8.b.d.0.1.0.0.2.ip6.arpa", "ptr:8.b.d.0.1.0.0.2.ip6.arpa"},
		{"ptr:2001:db8::/48", "ptr:2001:db8::/48"},
		{"neighbours", "neighbours"},
		{"neighbours:eth0", "neighbours:eth0"},
		{"nmap:a:b.xml", "nmap:a:b.xml"},
		{"masscan:x", "masscan:x"},
		{"netbox:p.csv", "netbox:p.csv"},
		{"netbox:https://netbox.example/api/ipam/prefixes/?status=active", "netbox:https://netbox.example/api/ipam/prefixes/?status=active"},
		{"netbox:http://127.0.0.1:8000/api/ipam/ip-addresses/", "netbox:http://127.0.0.1:8000/api/ipam/ip-addresses/"},

		{"", `error: "" names no source: it is one of dns:NAME`},
		{"shodan:org", `error: "shodan:org" names no source`},
		{"dns:", `error: "dns:": write a name behind dns:, like dns:org.example`},
		{"dns:198.51.100.1", `error: "dns:198.51.100.1": write a name`},
		{"mx:org example", `error: "mx:org example": write a name`},
		{"mx:example", `error: "mx:example": write a name`},
		{"ptr:10.0.0.0/8", `error: "ptr:10.0.0.0/8": IPv4 needs no walk`},
		{"ptr:2001:db8::/45", `error: "ptr:2001:db8::/45": a zone ends at a nibble`},
		{"ptr:2001:db8::1/48", `error: "ptr:2001:db8::1/48": a zone ends at a nibble`},
		{"ptr:::/0", `error: "ptr:::/0": name a zone of your own, from a /16`},
		{"ptr:2.ip6.arpa", `error: "ptr:2.ip6.arpa": name a zone of your own`},
		{"ptr:g.0.0.2.ip6.arpa", `error: "ptr:g.0.0.2.ip6.arpa": not a zone of ip6.arpa`},
		{"ptr:10.0.2.ip6.arpa", `error: "ptr:10.0.2.ip6.arpa": not a zone`},
		{"ptr:1.1.in-addr.arpa", `error: "ptr:1.1.in-addr.arpa": not a zone`},
		{"neighbours:a b", `error: "neighbours:a b": write neighbours`},
		{"nmap:", `error: "nmap:": write the file`},
		{"netbox:", `error: "netbox:": write a file or a URL`},
		{"netbox:http://netbox.example/", "error: netbox:http://netbox.example: the token goes over https alone"},
		{"netbox:ftp://netbox.example/", "error: netbox:ftp://netbox.example: the token goes"},
		{"netbox:https://user:secret@netbox.example/", "error: netbox: no name and password in the URL"},
		{"netbox:https://", "error: netbox: not a URL"},
	} {
		q, err := Parse(tt.text)
		got := q.String()
		if err != nil {
			got = "error: " + err.Error()
			if strings.Contains(got, "secret") {
				t.Errorf("%s: the message shows it: %s", tt.text, got)
			}
		}
		if got != tt.want && !(err != nil && strings.HasPrefix(got, tt.want)) {
			t.Errorf("%q: got %s, want %s", tt.text, got, tt.want)
		}
	}
}

// What nmap 7.93 and masscan 1.3.2 wrote, of listeners in a network namespace.
func TestRealResults(t *testing.T) {
	var f Finder
	at := func(name string) string { return filepath.Join("testdata", name) }
	holds(t, find(t, &f, "nmap:"+at("nmap.xml")), "127.0.0.1 | nmap:nmap.xml | [2525]", "127.0.0.2 | nmap:nmap.xml | [2526]", "127.0.0.3 | nmap:nmap.xml")
	holds(t, find(t, &f, "nmap:"+at("nmap6.xml")), "::1 | nmap:nmap6.xml | [2525]")
	holds(t, find(t, &f, "masscan:"+at("masscan.json")), "10.99.1.2 | masscan:masscan.json | [25 2525]", "10.99.1.3 | masscan:masscan.json | [25 2525]")
	holds(t, find(t, &f, "masscan:"+at("masscan.list")), "10.99.1.3 | masscan:masscan.list | [25 2525]", "10.99.1.2 | masscan:masscan.list | [25 2525]")
	for _, kind := range []string{"masscan", "nmap"} {
		holds(t, find(t, &f, kind+":"+at("masscan.xml")), "10.99.1.2 | "+kind+":masscan.xml | [25 2525]", "10.99.1.3 | "+kind+":masscan.xml | [25 2525]")
	}
	for _, q := range []string{"nmap:" + at("none.xml"), "nmap:testdata", "nmap:" + at("masscan.json"), "masscan:" + at("../source.go"), "netbox:" + at("nmap.xml")} {
		if found, err := f.Find(t.Context(), query(t, q)); err == nil {
			t.Errorf("%s: got %v, want an error", q, said(found))
		}
	}
}

type reader func(r io.Reader, by string, c *collector) error

// read reads a text.
func (read reader) of(text string) (Found, error) {
	c := newCollector()
	err := read(&bounded{r: strings.NewReader(text), left: maxBytes}, "f", c)
	return c.found, err
}

type fileCase struct {
	name, text string
	want       []string // or one line that begins with "error: "
}

func (read reader) test(t *testing.T, cases []fileCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			found, err := read.of(tt.text)
			if len(tt.want) == 1 && strings.HasPrefix(tt.want[0], "error: ") {
				if err == nil || !strings.HasPrefix("error: "+err.Error(), tt.want[0]) {
					t.Errorf("got %v, %v, want %s", said(found), err, tt.want[0])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			holds(t, found, tt.want...)
		})
	}
}

func host(state, rest string) string {
	return `<host><status state="` + state + `"/>` + rest + `</host>`
}

func TestNmap(t *testing.T) {
	const a = `<address addr="10.0.0.1" addrtype="ipv4"/>`
	reader(readNmap).test(t, []fileCase{
		{"a host that is down", "<nmaprun>" + host("down", a) + host("up", `<address addr="10.0.0.2" addrtype="ipv4"/>`) + "</nmaprun>", []string{"10.0.0.2 | f", "left out: 1 hosts | f | they were down"}},
		{"a MAC address is no address", "<nmaprun>" + host("up", a+`<address addr="00:00:5E:00:53:01" addrtype="mac" vendor="x"/>`) + "</nmaprun>", []string{"10.0.0.1 | f"}},
		{"a scan that was cut off", "<nmaprun>" + host("up", a) + `<host><status state="up"/><address addr="10.0.0.9"`, []string{"10.0.0.1 | f", "left out: the rest | f | the file ends in the middle: the scan was cut off"}},
		{"a hint of a host, then the host", `<nmaprun><hosthint><status state="up"/>` + a + `</hosthint>` + host("up", a+`<ports><port protocol="tcp" portid="25"><state state="open"/></port><port protocol="udp" portid="53"><state state="open"/></port><port protocol="tcp" portid="26"><state state="filtered"/></port></ports>`) + "</nmaprun>", []string{"10.0.0.1 | f | [25]"}},
		{"a script's table is no host", "<nmaprun>" + host("up", a+`<hostscript><script id="x"><table key="host"><elem key="address">10.0.0.2</elem></table></script></hostscript>`) + "</nmaprun>", []string{"10.0.0.1 | f"}},
		{"a link-local address", "<nmaprun>" + host("up", `<address addr="fe80::1%eth0" addrtype="ipv6"/>`) + "</nmaprun>", []string{"left out: fe80::1 | f | a link-local address means nothing without an interface"}},
		{"IPv4 mapped into IPv6", "<nmaprun>" + host("up", `<address addr="::ffff:10.0.0.1" addrtype="ipv6"/>`) + "</nmaprun>", []string{"10.0.0.1 | f"}},
		{"nothing in it", "<nmaprun></nmaprun>", nil},
		{"an empty file", "", []string{"error: not nmap's XML (-oX)"}},
		{"another document", "<html></html>", []string{`error: not nmap's XML (-oX): it begins with "html"`}},
		{"no XML", "Nmap scan report for 10.0.0.1", []string{"error: not nmap's XML (-oX)"}},
		{"a name for an address", "<nmaprun>" + host("up", `<address addr="mail.org.example" addrtype="ipv4"/>`) + "</nmaprun>", []string{`error: "mail.org.example" is not an address`}},
		{"an entity of its own", `<!DOCTYPE nmaprun [<!ENTITY a "10.0.0.1">]><nmaprun>` + host("up", `<address addr="&a;" addrtype="ipv4"/>`) + "</nmaprun>", []string{"error: line 1: not nmap's XML (-oX)"}},
		{"elements in elements", "<nmaprun>" + strings.Repeat("<a>", 1000), []string{"error: not nmap's XML: elements without end"}},
	})
}

func TestMasscan(t *testing.T) {
	const one = `{ "ip": "10.0.0.1", "timestamp": "1", "ports": [ {"port": 25, "proto": "tcp", "status": "open"} ] }`
	reader(readMasscan).test(t, []fileCase{
		{"a comma too many", "[\n" + one + "\n,\n]", []string{"10.0.0.1 | f | [25]"}},
		{"no closing bracket", "[\n" + one + "\n,\n", []string{"10.0.0.1 | f | [25]"}},
		{"the last line of old versions", "[\n" + one + ",\n{finished: 1}\n]\n", []string{"10.0.0.1 | f | [25]"}},
		{"no comma between", "[" + one + strings.ReplaceAll(one, "0.1", "0.2") + "]", []string{"10.0.0.1 | f | [25]", "10.0.0.2 | f | [25]"}},
		{"a line each, without an array", one + "\n" + strings.ReplaceAll(one, "10.0.0.1", "2001:db8::1"), []string{"10.0.0.1 | f | [25]", "2001:db8::1 | f | [25]"}},
		{"cut off in the middle", "[\n" + one + ",\n" + one[:40], []string{"10.0.0.1 | f | [25]", "left out: the rest | f | the file ends in the middle: the scan was cut off"}},
		{"a banner with braces", `[{"ip":"10.0.0.1","ports":[{"port":25,"proto":"tcp","service":{"name":"smtp","banner":"220 } \" {"}}]}]`, []string{"10.0.0.1 | f | [25]"}},
		{"a closed port names the host", `[{"ip":"10.0.0.1","ports":[{"port":25,"proto":"tcp","status":"closed"}]}]`, []string{"10.0.0.1 | f"}},
		{"nothing was found", "[\n]\n", nil},
		{"an empty file", "", nil},
		{"a name for an address", `[{"ip":"mail"}]`, []string{`error: record 1: "mail" is not an address`}},
		{"another JSON", `[1,2]`, []string{"error: record 1: not masscan's JSON (-oJ): '1' stands between the hosts"}},
		{"a record that is broken", "[" + one + ",{]}]", []string{"error: record 2: not masscan's JSON (-oJ)"}},
		{"a port that is none", `[{"ip":"10.0.0.1","ports":[{"port":70000}]}]`, []string{"error: record 1: not masscan's JSON"}},
		{"a list, with banners", "#masscan\nopen tcp 25 10.0.0.1 1\nbanner tcp 26 10.0.0.1 1 smtp 220 hello\nopen udp 53 10.0.0.2 1\n# end\n", []string{"10.0.0.1 | f | [25 26]", "10.0.0.2 | f"}},
		{"a list with a broken line", "#masscan\nopen tcp 25\n", []string{`error: line 2: "open tcp 25" is no line of masscan's list`}},
		{"a list with a name", "open tcp 25 mail 1", []string{`error: line 1: "mail" is not an address`}},
	})
}

func TestNetBoxFiles(t *testing.T) {
	reader(readNetBox).test(t, []fileCase{
		{"prefixes", `{"count":4,"next":null,"previous":null,"results":[
			{"id":1,"prefix":"10.20.0.0/24","status":{"value":"active","label":"Active"},"vrf":{"name":"x"}},
			{"id":2,"prefix":"10.0.0.0/8","status":{"value":"container","label":"Container"}},
			{"id":3,"prefix":"2001:db8:51::/48","status":{"value":"active"}},
			{"id":4,"prefix":"2001:db8:51::/112","status":{"value":"active"}}]}`, []string{
			"10.20.0.0/24 | f", "2001:db8:51::/112 | f",
			"left out: 10.0.0.0/8 | f | a container: the prefixes in it are named by themselves",
			"left out: 2001:db8:51::/48 | f | an IPv6 prefix shorter than /112: only its hosts can be named",
		}},
		{"addresses, whose length is their network's", `{"results":[{"address":"10.20.0.5/24","status":"active"},{"address":"2001:db8::25/64"},{"address":"10.20.0.6","status":{"value":1}}]}`, []string{"10.20.0.5 | f", "2001:db8::25 | f", "10.20.0.6 | f"}},
		{"the array alone", `[{"prefix":"10.20.0.0/24"}]`, []string{"10.20.0.0/24 | f"}},
		{"one page of several", `{"next":"https://netbox.example/?offset=50","results":[{"prefix":"10.20.0.0/24"}]}`, []string{"10.20.0.0/24 | f", "left out: the next pages | f | the file is one page of several: export them all, or name the URL"}},
		{"an error of the API", `{"detail":"Invalid token"}`, []string{"error: not NetBox's JSON: no results in it"}},
		{"devices", `[{"name":"x"}]`, []string{"error: object 1: neither prefix nor address"}},
		{"a prefix that is none", `[{"prefix":"10.0.0.0/33"}]`, []string{`error: object 1: "10.0.0.0/33" is neither a prefix nor an address`}},
		{"cut off", `{"results":[{"prefix":"10.20.0.0/24"}`, []string{"error: not NetBox's JSON: it ends in the middle"}},
		{"another type", `{"results":[{"prefix":7}]}`, []string{"error: not NetBox's JSON: "}},
		{"results that are none", `{"results":"x"}`, []string{"error: not NetBox's JSON: results is no array"}},
		{"CSV with field names", "id,prefix,status\n1,10.20.0.0/24,active\n2,10.0.0.0/8,container\n", []string{"10.20.0.0/24 | f", "left out: 10.0.0.0/8 | f | a container: the prefixes in it are named by themselves"}},
		{"CSV with labels", "\ufeffIP Address,VRF,Status\r\n10.20.0.5/24,,Active\r\n\"2001:db8::25/64\",\"a,b\",Active\r\n", []string{"10.20.0.5 | f", "2001:db8::25 | f"}},
		{"CSV without a column", "name,site\nx,y\n", []string{"error: not NetBox's CSV: its first line has neither"}},
		{"CSV with a bad row", "prefix\n10.0.0.0/24\nx\n", []string{`error: line 3: "x" is neither`}},
		{"an empty file", " \n", []string{"error: empty"}},
	})
}

// What has no end is not read to it.
func TestFilesAreBounded(t *testing.T) {
	endless := func(head, again string) io.Reader {
		n := 0
		return io.MultiReader(strings.NewReader(head), readerFunc(func(p []byte) (int, error) {
			for i := range p {
				p[i] = again[n%len(again)]
				n++
			}
			return len(p), nil
		}))
	}
	for _, tt := range []struct {
		name        string
		read        reader
		head, again string
	}{
		{"nmap: comments", readNmap, "<nmaprun>", "<!-- x -->\n"},
		{"nmap: one tag", readNmap, "<nmaprun a=\"", "x"},
		{"nmap: elements", readNmap, "<nmaprun>", "<a>"},
		{"nmap: addresses", readNmap, "<nmaprun><host>", `<address addr="10.0.0.1" addrtype="ipv4"/>`},
		{"masscan: white space", readMasscan, "", " \n"},
		{"masscan: commas", readMasscan, "[", ","},
		{"masscan: one record", readMasscan, "[{\"", "x"},
		{"masscan: one line", readMasscan, "open tcp 25 10.0.0.1 1 ", "x"},
		{"masscan: comments", readMasscan, "", "#\n"},
		{"netbox: brackets", readNetBox, "", "["},
		{"netbox: an object", readNetBox, "{", `"a":1,`},
		{"netbox: text", readNetBox, `{"a":"`, "x"},
		{"netbox: one row", readNetBox, "prefix\n\"", "x"},
		{"netbox: rows", readNetBox, "prefix\n", "10.0.0.0/24\n"},
	} {
		err := tt.read(&bounded{r: endless(tt.head, tt.again), left: 4 << 20}, "f", newCollector())
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
	few := newCollector()
	few.most = 3
	for _, text := range []string{"10.0.0.1", "10.0.0.1", "fe80::1", "10.0.0.2"} {
		if err := few.hostText(text, "f"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"10.0.0.3", "fe80::2"} {
		if err := few.hostText(text, "f"); !errors.Is(err, errTooMany) {
			t.Errorf("%s, one too many: %v", text, err)
		}
	}
	if n := newCollector().most; n != maxFound {
		t.Errorf("a source may name %d, want %d", n, maxFound)
	}
	b := &bounded{r: strings.NewReader("12345"), left: 5}
	if got, err := io.ReadAll(b); string(got) != "12345" || err != nil {
		t.Errorf("got %q, %v: as much as allowed is read", got, err)
	}
	b = &bounded{r: strings.NewReader("123456"), left: 5}
	if got, err := io.ReadAll(b); string(got) != "12345" || !errors.Is(err, errTooLarge) {
		t.Errorf("got %q, %v, want %v", got, err, errTooLarge)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func fuzz(f *testing.F, read reader, files string, seeds ...string) {
	names, _ := filepath.Glob(filepath.Join("testdata", files))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	if len(names) == 0 && len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := read.of(text)
		sane(t, found)
		if err != nil && (len(err.Error()) > 800 || strings.ContainsAny(err.Error(), "\n\r\t\x00\x1b")) {
			t.Errorf("%q", err)
		}
	})
}

func FuzzNmap(f *testing.F) {
	fuzz(f, readNmap, "*.xml", "", "<nmaprun>"+host("up", `<address addr="fe80::1%e" addrtype="ipv6"/>`), "<nmaprun>\xff", "<nmaprun><a:b xmlns:a='x'/></nmaprun>", "<\x1b>", "<"+strings.Repeat("G", 2000)+"\x84>", "<?xml version='1.0' encoding='"+strings.Repeat("x", 2000)+"'?>")
}

func FuzzMasscan(f *testing.F) {
	fuzz(f, readMasscan, "masscan.*", "", "[{},]", "{finished: 1}", "open tcp 25 10.0.0.1 1", "[{\"ip\":\"\x1b\"}]", "\x1b", "\ufeff[")
}

func FuzzNetBox(f *testing.F) {
	fuzz(f, readNetBox, "none", `{"next":null,"results":[{"prefix":"10.0.0.0/24","status":{"value":"active"}}]}`, "prefix,status\n10.0.0.0/8,container\n", "IP Address\n10.0.0.5/24\n", `[{"address":"::1/64"}]`, "{\"a\":\x1b}", "prefix\n\"\x1b\n", "{", "[[")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"dns:a.b", "ptr:2001:db8::/48", "ptr:1.0.0.2.ip6.arpa", "netbox:https://a/b", "neighbours", "nmap:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(q.String()); err != nil || again != q {
			t.Errorf("%q: %v, %v, want %v", text, again, err, q)
		}
		if d, err := parseZone(q.Where); q.Kind == "ptr" {
			if back, err2 := parseZone(d.name()); err != nil || err2 != nil || back != d {
				t.Errorf("%q: %v, %v", text, err, err2)
			}
		}
	})
}
