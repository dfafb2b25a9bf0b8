package source

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// says writes a record as a test does: prefix | name | owner | site | tags | description | where.
func (r Record) says() string {
	return strings.Join([]string{r.Prefix.String(), r.Name, r.Owner, r.Site, strings.Join(r.Tags, ","), r.About, r.Where}, " | ")
}

func planIs(t *testing.T, p Plan, want ...string) {
	t.Helper()
	var got []string
	for _, r := range p.Records {
		got = append(got, r.says())
	}
	for _, n := range p.Notes {
		got = append(got, "note: "+n)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // or one line that begins with "error: "
	}{
		{
			"a CSV file with all columns", "prefix,name,owner,site,tags,description\n198.51.100.0/24,dmz,Netops,HQ,\"mail,dmz\",Servers\n198.51.100.25,mx1.org.example,Mail team,,,\n",
			[]string{"198.51.100.0/24 | dmz | Netops | HQ | mail,dmz | Servers | plan:2", "198.51.100.25/32 | mx1.org.example | Mail team | | | | plan:3"},
		},
		{
			"as Excel writes it in Europe: a mark, semicolons and CRLF", "\ufeffIP;Hostname;Contact;Tags\r\n198.51.100.25;mx1;\"Müller; Netze\";mail,alt\r\n",
			[]string{"198.51.100.25/32 | mx1 | Müller; Netze | | mail,alt | | plan:2"},
		},
		{"Excel's own word for the separator", "sep=;\nip;owner\n10.0.0.1;a\n10.0.0.x;b\n", []string{`error: plan:4: "10.0.0.x" is neither a prefix nor an address`}},
		{"tabs, with cells left out", "ip\tname\towner\n10.0.0.1\t\tNetops\n", []string{"10.0.0.1/32 | | Netops | | | | plan:2"}},
		{"Japanese", "IPアドレス,ホスト名,所管課,設置場所,備考\n10.0.0.1,mx,情報政策課,本庁,旧サーバー\n", []string{"10.0.0.1/32 | mx | 情報政策課 | 本庁 | | 旧サーバー | plan:2"}},
		{
			"NetBox's prefixes as CSV", "Prefix,Status,VRF,Tenant,Scope,Description,Tags\n10.20.0.0/16,Container,,City,,all,\n\"10.20.1.0/24\",Active,,,HQ,,\"dmz\"\n",
			[]string{"10.20.0.0/16 | | City | | | all | plan:2", "10.20.1.0/24 | | | HQ | dmz | | plan:3", `note: plan: columns that are not used: "Status", "VRF"`},
		},
		{
			"NetBox's addresses as CSV: the length is that of their network", "IP Address,Tenant,DNS Name\n10.20.1.5/24,Netops,mx.org.example\n10.20.1.8/31,,a\n2001:db8::1/64,,b\n",
			[]string{"10.20.1.5/32 | mx.org.example | Netops | | | | plan:2", "10.20.1.8/32 | a | | | | | plan:3", "2001:db8::1/128 | b | | | | | plan:4"},
		},
		{"a network in a column of addresses", "ip,owner\n10.20.1.0/24,Netops\n", []string{"10.20.1.0/24 | | Netops | | | | plan:2"}},
		{"a prefix with bits behind it", "prefix\n10.20.1.7/24\n", []string{"10.20.1.0/24 | | | | | | plan:2"}},
		{"IPv4 in IPv6", "ip\n::ffff:10.0.0.1\n::ffff:10.0.0.0/104\n", []string{"10.0.0.1/32 | | | | | | plan:2", "10.0.0.0/8 | | | | | | plan:3"}},
		{
			"a cell of several lines, and rows without an address", "ip,owner,note\n\n10.0.0.1,\"A\nB\",x\n,Heading,\n,,\n,Next,\n10.0.0.2\n",
			[]string{"10.0.0.1/32 | | A B | | | | plan:3", "10.0.0.2/32 | | | | | | plan:8", `note: plan: columns that are not used: "note"`, "note: plan: rows without an address, which were left out: 2, the first in line 5"},
		},
		{"two columns with an owner: the better name first", "ip,contact,owner\n10.0.0.1,c,o\n10.0.0.2,c,\n", []string{"10.0.0.1/32 | | o | | | | plan:2", "10.0.0.2/32 | | c | | | | plan:3"}},
		{
			"prefixes of NetBox", `{"count":2,"next":null,"results":[{"id":1,"prefix":"10.20.0.0/16","status":{"value":"container"},"tenant":{"id":3,"name":"City"},"scope_type":"dcim.site","scope":{"name":"HQ"},"tags":[{"name":"mail","slug":"mail"}],"description":"all"},{"prefix":"10.20.1.0/24","site":{"display":"Annex"},"tenant":null}]}`,
			[]string{"10.20.0.0/16 | | City | HQ | mail | all | plan, object 1", "10.20.1.0/24 | | | Annex | | | plan, object 2"},
		},
		{
			"addresses of NetBox", `[{"address":"10.20.1.5/24","dns_name":"mx.org.example","tenant":"Netops","tags":["a","b"]},{"address":"10.20.1.6/24","assigned_object":{"name":"eth0","device":{"name":"sw1"}}},{"address":"10.20.1.7/24","assigned_object":{"virtual_machine":{"name":"vm1"}}}]`,
			[]string{"10.20.1.5/32 | mx.org.example | Netops | | a,b | | plan, object 1", "10.20.1.6/32 | sw1 | | | | | plan, object 2", "10.20.1.7/32 | vm1 | | | | | plan, object 3"},
		},

		{"one page of several", `{"next":"https://netbox.example/?offset=50","results":[{"prefix":"10.0.0.0/8"}]}`, []string{"error: plan: it is one page of several"}},
		{"other JSON", `{"devices":[]}`, []string{"error: plan: not NetBox's JSON: no results in it"}},
		{"JSON that ends", `[{"prefix":"10.0.0.0/8"},`, []string{"error: plan: not NetBox's JSON: it ends in the middle"}},
		{"an object without an address", `[{"prefix":"10.0.0.0/8"},{"name":"x"}]`, []string{"error: plan: object 2: neither prefix nor address"}},
		{"a tenant that is a number", `[{"prefix":"10.0.0.0/8","tenant":3}]`, []string{"error: plan: a name that is neither a word nor an object"}},
		{"an empty file", " \r\n", []string{"error: plan: empty: an address plan is"}},
		{"no column with an address", "name,owner\nmx1,Netops\n", []string{"error: plan:1: no column prefix, address or ip"}},
		{"Shift_JIS", "ip,owner\n10.0.0.1,\x8f\xee\x95\xf1\n", []string{"error: plan:2: not UTF-8: save it as CSV UTF-8"}},
		{"UTF-16", "\xff\xfei\x00p\x00", []string{"error: plan:1: not UTF-8"}},
		{"a quote that does not end", "ip,owner\n10.0.0.1,\"x\n10.0.0.2,y\n", []string{"error: plan:2: extraneous or missing"}},
		{"a zone", "ip\nfe80::1%eth0\n", []string{`error: plan:2: "fe80::1%eth0" is neither`}},
		{"a prefix of both families", "prefix\n::ffff:0:0/90\n", []string{`error: plan:2: "::ffff:0:0/90" is a prefix of no family`}},
		{"too many columns", strings.Repeat("a,", maxColumns) + "ip\n", []string{"error: plan:1: more than 256 columns"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := readPlan("plan", []byte(tt.text), 100)
			if len(tt.want) == 1 && strings.HasPrefix(tt.want[0], "error: ") {
				if err == nil || !strings.HasPrefix("error: "+err.Error(), tt.want[0]) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, %v, want %s", p, err, tt.want[0])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range tt.want { // an empty field is one blank
				tt.want[i] = strings.ReplaceAll(tt.want[i], "| |", "|  |")
				tt.want[i] = strings.ReplaceAll(tt.want[i], "| |", "|  |")
			}
			planIs(t, p, tt.want...)
		})
	}
}

// A plan is bounded in bytes, in records, and in what one field may hold.
func TestPlanIsBounded(t *testing.T) {
	text := "ip,owner,tags\n" + strings.Repeat("10.0.0.1,a\n", 3)
	if p, err := readPlan("plan", []byte(text), 3); err != nil || len(p.Records) != 3 {
		t.Errorf("as many as allowed: %v", err)
	}
	if _, err := readPlan("plan", []byte(text+"10.0.0.1,a\n"), 3); err == nil || err.Error() != "plan:5: more than 3 records: take it in parts" {
		t.Errorf("got %v", err)
	}
	p, err := readPlan("plan", []byte("ip,owner,tags\n10.0.0.1,"+strings.Repeat("日", 200)+",\""+strings.Repeat("a,b,", 5)+tagList(100)+"\"\n"), 3)
	if err != nil || len(p.Records[0].Owner) != 255 || len(p.Records[0].Tags) != maxTags {
		t.Errorf("%d bytes, %d tags, %v", len(p.Records[0].Owner), len(p.Records[0].Tags), err)
	}
	name := filepath.Join(t.TempDir(), "plan.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxBytes + 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := new(Finder).Plan(t.Context(), name); err == nil || !strings.HasSuffix(err.Error(), "plan.csv: larger than 64 MB: take it in parts") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "none.csv"), t.TempDir()} {
		if _, err := new(Finder).Plan(t.Context(), name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func tagList(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint("t", i))
	}
	return strings.Join(out, "|")
}

// NetBox itself is asked for both of its lists, page after page, or for the one that the URL names.
func TestPlanOfNetBox(t *testing.T) {
	a := netboxAPI(t, func(_ *api, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path + r.URL.Query().Get("offset") {
		case "/nb/api/ipam/prefixes/":
			fmt.Fprint(w, `{"next":"/nb/api/ipam/prefixes/?offset=1","results":[{"prefix":"10.20.0.0/24","tenant":{"name":"Netops"}}]}`)
		case "/nb/api/ipam/prefixes/1":
			fmt.Fprint(w, `{"next":null,"results":[{"prefix":"10.21.0.0/24"}]}`)
		case "/nb/api/ipam/ip-addresses/":
			fmt.Fprint(w, `{"next":null,"results":[{"address":"10.20.0.5/24","dns_name":"mx.org.example"}]}`)
		default:
			http.NotFound(w, r)
		}
	})
	f := &Finder{Token: "0123456789abcdef", Client: a.Client()}
	p, err := f.Plan(t.Context(), a.URL+"/nb/")
	if err != nil {
		t.Fatal(err)
	}
	by := "netbox:" + strings.TrimPrefix(a.URL, "https://")
	planIs(t, p, "10.20.0.0/24 |  | Netops |  |  |  | "+by, "10.21.0.0/24 |  |  |  |  |  | "+by, "10.20.0.5/32 | mx.org.example |  |  |  |  | "+by)
	for _, q := range a.requests() {
		if !strings.HasPrefix(q, "Token 0123456789abcdef /nb/api/ipam/") {
			t.Errorf("asked %q", q)
		}
	}
	p, err = f.Plan(t.Context(), a.URL+"/nb/api/ipam/ip-addresses/?tenant=x")
	if err != nil {
		t.Fatal(err)
	}
	planIs(t, p, "10.20.0.5/32 | mx.org.example |  |  |  |  | "+by)
	for where, want := range map[string]string{
		a.URL + "/api/none/": "it answers 404", "https://user:secret@netbox.example/": "no name and password in the URL", "http://netbox.example/": "over https alone",
	} {
		if p, err := f.Plan(t.Context(), where); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || !reflect.DeepEqual(p, Plan{}) {
			t.Errorf("%s: got %v, %v", where, p, err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		"prefix,owner\n10.0.0.0/8,a\n", "\ufeffip;tags\r\n10.0.0.1;\"a,b\"\r\n", "sep=\t\nip\towner\n", "sep=;", "ip\n\"\n", "ip\n\x1b\n", "IP Address\n10.0.0.5/24\n", "ip,ip\n,10.0.0.1\n",
		`[{"address":"::1/64","tenant":{"display":"x"},"tags":[{"name":"a"},"b",null],"assigned_object":{"device":null}}]`, `{"next":"x","results":[]}`, `[{"prefix":"::ffff:0:0/96"}]`, "{", "\xff", "a,\"b\nc\",ip\n1,2,::1\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPlan("plan", b, 1000)
		if err != nil {
			if len(err.Error()) > 800 || !strings.HasPrefix(err.Error(), "plan:") || strings.ContainsAny(err.Error(), "\n\r\t\x00\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, r := range p.Records {
			if !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() || r.Prefix.Addr().Is4In6() || r.Prefix.Addr().Zone() != "" {
				t.Errorf("prefix %v", r.Prefix)
			}
			for _, s := range append([]string{r.Name, r.Owner, r.Site, r.About}, r.Tags...) {
				if len(s) > maxText || strings.ContainsAny(s, "\n\r\t") {
					t.Errorf("%q", s)
				}
			}
		}
		for _, n := range p.Notes {
			if len(n) > 4000 || strings.ContainsAny(n, "\n\r\t\x00\x1b") {
				t.Errorf("%q", n)
			}
		}
	})
}
