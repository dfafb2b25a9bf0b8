package main

import (
	"fmt"
	"strings"
	"testing"

	"relaysweep/probe"
)

// Law 4 for rows of one's own: every form of the table itself passes the check of its field, so that what the table
// may do an operator's row may do as well, and nothing else.
func TestTableKeepsTheLawsOfRows(t *testing.T) {
	for _, v := range probe.Vectors() {
		for _, to := range v.To {
			if strings.Contains(to, "{M}") || strings.Contains(to, "{L}") { // ours in place of the canary domain: the table's alone
				continue
			}
			if err := checkForm(to, "to"); err != nil {
				t.Errorf("%s: %v", v.ID, err)
			}
			if err := checkRecipient(to, nil); err != nil {
				t.Errorf("%s: %v", v.ID, err)
			}
		}
		for _, from := range v.From {
			if err := checkForm(from, "from"); err != nil {
				t.Errorf("%s: %v", v.ID, err)
			}
			if err := checkHosts(from, nil); err != nil {
				t.Errorf("%s: %v", v.ID, err)
			}
		}
	}
}

func TestRows(t *testing.T) {
	row := func(fields string) string { return "vector_rows:\n  - {" + fields + "}\n" }
	const to = `to: ["<{t}@{C}>"]`
	for _, c := range []struct{ name, yaml, want string }{
		{"plain", row("id: X1, " + to), ""},
		{"all fields", row(`id: X1, helo: [localhost, "{O}"], from: ["{s}@{O}", "", "{U}"], ` + to + `, tls: true, route: true, odd: true, mail_params: "BODY=8BITMIME SIZE=1000", ref: RFC 5321, when: always, catches: what it catches`), ""},
		{"a host of ours below a domain of ours", row(`id: X1, from: ["{s}@sub.org.example", "{s}@org.example"], to: ["<{t}%{C}@mail.org.example>"]`), ""},
		{"quoted, bang, source route, literals, reserved names", row(`id: X1, to: ['<"{t}@{C}"@{O}>', "<{C}!{t}@{N}>", "<@{O},@{N}:{t}@{C}>", "<{t}%{C}@[127.0.0.1]>", "<{t}%{C}@localhost>", "<{t}%{C}@mx.example.com>", "{t}@{C}", " <{t}@{C}>", "<{t}@{C}> NOTIFY=NEVER", "<{t}@a.{C}.>"]`), ""},
		{"unicode", row(`id: X1, to: ["<{t}@ü.{C}>"], mail_params: SMTPUTF8`), ""},

		{"no id", row(to), `c.yaml:2: "" is not an id`},
		{"an id with a blank", row("id: X 1, " + to), `"X 1" is not an id: a letter, then up to 15 letters, digits, - or _`},
		{"an id that begins with a digit", row("id: 1X, " + to), `"1X" is not an id`},
		{"an id that is too long", row("id: X2345678901234567, " + to), `is not an id`},
		{"a table's id", row("id: R1, " + to), `there is a vector R1 already`},
		{"a word of --vectors", row("id: smuggling, " + to), `there is a vector smuggling already`},
		{"an id twice", "vector_rows:\n  - {id: X1, " + to + "}\n  - {id: X1, " + to + "}\n", `c.yaml:3: there is a vector X1 already`},
		{"no recipient", row("id: X1"), `c.yaml:2: vector X1 has no recipient`},
		{"unknown field", row("id: X1, " + to + ", opt_in: auth"), `c.yaml:2: unknown key "opt_in"`},
		{"a field that rows may not have", row("id: X1, " + to + ", before: [VRFY root]"), `unknown key "before"`},

		{"a recipient without token", row(`id: X1, to: ["<root@{C}>"]`), `must hold {t} and {C}`},
		{"a recipient without canary domain", row(`id: X1, to: ["<{t}@{O}>"]`), `must hold {t} and {C}`},
		{"the second of two recipients", row(`id: X1, to: ["<{t}@{C}>", "<{t}@{O}>"]`), `must hold {t} and {C}`},
		{"a stranger's host behind @", row(`id: X1, to: ["<{t}%{C}@mail.google.com>"]`), `"mail.google.com" in "<{t}%{C}@mail.google.com>" may be a stranger's host`},
		{"behind %", row(`id: X1, to: ["<{t}@{C}%google.com@{O}>"]`), `"google.com"`},
		{"before !", row(`id: X1, to: ["<google.com!{t}@{C}>"]`), `"google.com"`},
		{"in a source route", row(`id: X1, to: ["<@google.com:{t}@{C}>"]`), `"google.com"`},
		{"the canary domain as a label of it", row(`id: X1, to: ["<{t}@{C}.google.com>"]`), `"{C}.google.com"`},
		{"a name that ends like the canary domain", row(`id: X1, to: ["<{t}@x{C}>"]`), `"x{C}"`},
		{"a name that ends like a domain of ours", row(`id: X1, to: ["<{t}%{C}@evilorg.example.net.evil>"]`), `may be a stranger's host`},
		{"a stranger's address literal", row(`id: X1, to: ["<{t}%{C}@[192.0.2.1]>"]`), `"[192.0.2.1]"`},
		{"a person", row(`id: X1, to: ["<{t}%{C}{U}>"]`), `{U} and {u} name a person`},
		{"two recipients", row(`id: X1, to: ["<root> <{t}@{C}>"]`), `must hold {t} and {C}`},
		{"two recipients the other way round", row(`id: X1, to: ["<{t}@{C}> <root>"]`), `names more than one`},
		{"two recipients with a comma", row(`id: X1, to: ["<root,{t}@{C}>"]`), `names more than one`},
		{"a name before the bracket", row(`id: X1, to: ["root <{t}@{C}>"]`), `must hold {t} and {C}`},
		{"no closing bracket", row(`id: X1, to: ["<{t}@{C}"]`), `has no closing bracket`},
		{"a parameter with a stranger's address", row(`id: X1, to: ["<{t}@{C}> ORCPT=rfc822;a@google.com"]`), `"google.com"`},
		{"bounces to a stranger", row(`id: X1, from: [boss@google.com], ` + to), `c.yaml:2: vector X1: "google.com" in "boss@google.com" may be a stranger's host: mail or bounces could go there`},

		{"a line end in a recipient", row(`id: X1, to: ["<{t}@{C}>\r\nRCPT TO:<root>"]`), `to holds a control character`},
		{"NUL", row(`id: X1, from: ["a\0b"], ` + to), `from holds a control character`},
		{"a line end in parameters", row(`id: X1, mail_params: "X\nY", ` + to), `mail_params holds a control character`},
		{"a line end in HELO", row(`id: X1, helo: ["a\rb"], ` + to), `helo holds a control character`},
		{"an escape in what is shown", row(`id: X1, catches: "\e[31m", ` + to), `catches holds a control character`},
		{"an unknown placeholder", row(`id: X1, to: ["<{t}@{C}{X}>"]`), `"{X}" is no placeholder: they are {t} {C}`},
		{"a placeholder of the table's own", row(`id: X1, from: ["{plain}"], ` + to), `"{plain}" is no placeholder`},
		{"half a placeholder", row(`id: X1, helo: ["{O"], ` + to), `"{O" is no placeholder`},
		{"the other half", row(`id: X1, helo: ["O}"], ` + to), `"}" is no placeholder`},
		{"a form that is too long", row(`id: X1, helo: ["` + strings.Repeat("x", 257) + `"], ` + to), `helo is longer than 256 bytes`},
		{"too many forms", row(`id: X1, from: [` + strings.Repeat(`"", `, 17) + `], ` + to), `vector X1 has more than 16 forms`},
		{"too many rows", "vector_rows:\n" + rows(65), `c.yaml:66: more than 64 rows of your own`},
		{"as many as may be", "vector_rows:\n" + rows(64), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseConfig("c.yaml", []byte(c.yaml))
			var got []probe.Vector
			if err == nil {
				got, err = cfg.vectorRows([]string{"org.example"})
			}
			switch {
			case c.want == "" && (err != nil || len(got) != len(cfg.VectorRows) || len(got[0].From) == 0):
				t.Errorf("got %+v, %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "c.yaml:") || strings.ContainsAny(err.Error(), "\r\n\x1b")):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func rows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - {id: X%d, to: [\"<{t}@{C}>\"]}\n", i)
	}
	return b.String()
}

// The template's own example holds.
func TestTemplateRows(t *testing.T) {
	_, text, ok := strings.Cut(template, "# vector_rows: ")
	text, _, _ = strings.Cut(text, "\n")
	cfg, err := parseConfig("c.yaml", []byte("vector_rows: "+text+"\n"))
	if err != nil || !ok {
		t.Fatal(err)
	}
	if _, err := cfg.vectorRows(nil); err != nil || len(cfg.VectorRows) != 1 {
		t.Error(err)
	}
}

func FuzzRecipient(f *testing.F) {
	for _, v := range probe.Vectors() {
		for _, to := range v.To {
			f.Add(to)
		}
	}
	f.Add("<{t}@{C}> <x@y>")
	f.Add("<@a,@b:{t}@{C}>")
	f.Fuzz(func(t *testing.T, form string) {
		if checkForm(form, "to") != nil || checkRecipient(form, nil) != nil {
			return
		}
		to := strings.NewReplacer("{t}", "rs-x", "{C}", "canary.example").Replace(form)
		if !strings.Contains(to, "rs-x") || !strings.Contains(to, "canary.example") || strings.ContainsAny(to, "\r\n\x00") {
			t.Errorf("%q was taken", form)
		}
	})
}
