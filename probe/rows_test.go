package probe_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"relaysweep/probe"
	"relaysweep/probe/smtp/smtptest"
)

// recipients are those of a row's attempts, without what is the attempt's own.
func recipients(f probe.Finding, id string) (out []string) {
	for _, a := range f.Attempts {
		if a.Vector == id {
			out = append(out, strings.ReplaceAll(a.To, a.Canary, "t"))
		}
	}
	return out
}

// R20 and R22 are tried where the operator has told what they need, and find what relays to that alone.
func TestRowsOfTheSink(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		row    string
		server string // what it relays to
		canary probe.Canary
		to     []string
		want   want
	}{
		{"a domain that names the target among its MX hosts", "R20", "<*@mxtrick.example>", probe.Canary{MXNames: []string{"mxtrick.example"}}, []string{"<t@mxtrick.example>"}, open("R20")},
		{"two of them, and not three", "R20", "<*@mxtrick2.example>", probe.Canary{MXNames: []string{"mxtrick.example", "mxtrick2.example", "mxtrick3.example"}}, []string{"<t@mxtrick.example>", "<t@mxtrick2.example>"}, open("R20")},
		{"no such domain", "R20", "<*@mxtrick.example>", probe.Canary{}, nil, closed()},
		{"the sink's address literal", "R22", "<*@[192.0.2.25]>", probe.Canary{Sink: netip.MustParseAddr("192.0.2.25")}, []string{"<t@[192.0.2.25]>"}, open("R22")},
		{"the sink's address literal of IPv6", "R22", "<*@[IPv6:2001:db8::25]>", probe.Canary{Sink: netip.MustParseAddr("2001:db8::25")}, []string{"<t@[IPv6:2001:db8::25]>"}, open("R22")},
		{"no address of the sink", "R22", "<*@[192.0.2.25]>", probe.Canary{}, nil, closed()},
	} {
		t.Run(tt.row+", "+tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, closedBut("mx.org.example ESMTP", "C: RCPT TO:"+tt.server+"\nS: 250 2.1.5 ok\n"))
			p := prober()
			tt.canary.Domain, tt.canary.Key = p.Canary.Domain, p.Canary.Key
			p.Canary = tt.canary
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			tt.want.check(t, f)
			if got := recipients(f, tt.row); !equal(got, tt.to) {
				t.Errorf("recipients: got %q, want %q", got, tt.to)
			}
			server.Wait(f.Connections)
			lawful(t, p, server.Score())
		})
	}
}

// speaksUTF8 is a server that relays for domains in Unicode, and offers SMTPUTF8 in clear, inside TLS, or nowhere.
func speaksUTF8(clear, inside, needsTLS bool) *smtptest.Dialog {
	offer := func(yes bool) string {
		if yes {
			return "SMTPUTF8"
		}
		return "8BITMIME"
	}
	first := "250 2.1.0 ok"
	if needsTLS {
		first = "530 5.7.0 Must issue a STARTTLS command first"
	}
	return closedBut("mx.org.example ESMTP", offers(offer(clear), offer(inside))+"C: MAIL FROM:*\n= if not tls\nS: "+first+"\nC: RCPT TO:<*@ü.*>\nS: 250 2.1.5 ok\n")
}

// R21 is tried where SMTPUTF8 is offered, in clear or inside TLS, and nowhere else.
func TestSMTPUTF8(t *testing.T) {
	t.Parallel()
	const no, yes = false, true
	for _, tt := range []struct {
		name                    string
		clear, inside, needsTLS bool
		tried                   bool
		tls                     bool // it is tried there
	}{
		{"offered in clear", yes, yes, no, yes, no},
		{"offered in clear alone", yes, no, no, yes, no},
		{"offered inside TLS alone", no, yes, no, yes, yes},
		{"offered nowhere", no, no, no, no, no},
		{"TLS is needed, and it is offered", yes, yes, yes, yes, yes},
		{"TLS is needed, and it is offered inside alone", no, yes, yes, yes, yes},
		{"TLS is needed, and it is not offered inside", yes, no, yes, no, no},
		{"TLS is needed, and it is offered nowhere", no, no, yes, no, no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := smtptest.Start(t, speaksUTF8(tt.clear, tt.inside, tt.needsTLS))
			p := prober()
			f, err := look(t, p, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			server.Wait(f.Connections)
			score := server.Score()
			lawful(t, p, score)
			i := slices.IndexFunc(f.Attempts, func(a probe.Attempt) bool { return a.Vector == "R21" })
			if !tt.tried {
				closed().check(t, f)
			} else if open("R21").check(t, f); i < 0 || f.Attempts[i].TLS != tt.tls {
				t.Errorf("R21 was not tried where it was offered (TLS %t)\n%s", tt.tls, show(f))
			}
			sent := 0
			for _, line := range score.Commands {
				if strings.HasSuffix(line, "> SMTPUTF8") {
					sent++
				}
			}
			if want := map[bool]int{true: 1}[tt.tried]; sent != want {
				t.Errorf("MAIL with SMTPUTF8 was sent %d times, want %d", sent, want)
			}
		})
	}
}
