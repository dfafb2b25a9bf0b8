package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"relaysweep/discover/firewall"
)

// EditProposal is a change to a firewall's rules that would close an opening, or put right what makes its server relay.
// It is printed, never applied.
type EditProposal struct {
	Device   string
	Kind     string // deny, narrow, drop-member, remove, stop-nat
	Line     Line   // the line that it is about
	Commands []string
	Closes   bool     // proved: the opening is closed for all that enter where the scan did
	Unmasks  bool     // proved: the server sees the client's own address
	Breaks   string   // an approved connection that it would close as well
	Also     []string // what else it closes, proved to be all
	Opens    []string // what it would open
	Moves    []string // what would go elsewhere, or come from another source
}

var editKinds = map[firewall.EditKind]string{
	firewall.DenyAbove: "deny", firewall.Narrow: "narrow", firewall.DropMember: "drop-member", firewall.Remove: "remove", firewall.StopNAT: "stop-nat",
}

// mostProposed bounds for how many findings edits are proved: a proof looks at all connections.
const mostProposed = 50

// propose finds for the relays that the rules let in the edits that would close them.
func (r *Report) propose(in *Rules) {
	n := 0
	for _, e := range r.Entries {
		if e.Way == nil || !e.exposed() && !e.mayRelay() || e.Way.Verdict != firewall.Permitted && e.Way.Verdict != firewall.Possibly {
			continue
		}
		if n++; n > mostProposed {
			return
		}
		e.Edits = proposals(in, e)
	}
}

func proposals(in *Rules, e *Entry) (out []EditProposal) {
	flow := in.flow(e.Finding.Addr, netip.AddrPort{})
	flow.Src, flow.SrcPort = firewall.AllIPv6(), firewall.Ports(0, 65535) // whoever connects from there
	if e.Finding.Addr.Addr().Is4() {
		flow.Src = firewall.AllIPv4()
	}
	for i := range e.Way.Decisions {
		d := &e.Way.Decisions[i]
		dev := in.device(d.Device)
		keep := in.Keep
		if i > 0 { // approvals are written as the vantage sees addresses
			keep = nil
		}
		if dev.From != "" {
			flow.In = dev.From
		}
		list, err := dev.Close(flow, keep)
		if err != nil { // it is too much to be proved
			continue
		}
		for _, c := range list {
			if len(c.Text) > 0 {
				out = append(out, proposal(dev, c))
			}
		}
		next := d.Leaves
		next.In = flow.In
		flow = next
	}
	return out
}

func proposal(dev *firewall.Device, c firewall.Candidate) EditProposal {
	p := EditProposal{Device: dev.Device, Kind: editKinds[c.Kind], Commands: c.Text, Closes: c.Closes, Unmasks: c.Unmasks}
	if c.Rule != nil {
		h := firewall.Hop{Step: c.Step, Ends: make([]firewall.End, 1), Packet: firewall.First}
		p.Line = lineOf(dev, &h, firewall.End{Chain: c.Chain, Rule: c.Rule, Action: c.Rule.Action})
	}
	if c.KeepBroken != nil {
		p.Breaks = joinNonEmpty(": ", c.Kept, source(*c.KeepBroken)+" to "+firewall.Endpoint(c.KeepBroken.Dst, c.KeepBroken.DstPort))
	}
	p.Also, p.Opens, p.Moves = boxes(c.AlsoCloses, c.MoreAlsoCloses), boxes(c.Opens, c.MoreOpens), boxes(c.Moves, c.MoreMoves)
	return p
}

// boxes writes sets of connections; the last tells how many are left out.
func boxes(list []firewall.Box, more uint64) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.String())
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("+%d", more))
	}
	return out
}

// effect tells what an edit does, in a language.
func (p *EditProposal) effect(l Lang) string {
	var out []string
	if p.Closes {
		out = append(out, editCloses.in(l))
	}
	if p.Unmasks {
		out = append(out, editUnmasks.in(l))
	}
	switch {
	case p.Breaks != "":
		out = append(out, editBreaks.with(l, p.Breaks))
	case len(p.Also) == 0 && len(p.Opens) == 0 && (len(p.Moves) == 0 || p.Unmasks):
		out = append(out, editAlone.in(l))
	}
	if n := len(p.Also); n > 0 {
		out = append(out, editAlso.with(l, few(p.Also, 3)))
	}
	if n := len(p.Opens); n > 0 {
		out = append(out, editOpens.with(l, few(p.Opens, 3)))
	}
	if n := len(p.Moves); n > 0 && !p.Unmasks {
		out = append(out, editMoves.with(l, few(p.Moves, 3)))
	}
	return strings.Join(out, " ")
}

// few lists the first of many.
func few(list []string, most int) string {
	if len(list) > most {
		return strings.Join(list[:most], "; ") + fmt.Sprintf("; +%d", len(list)-most)
	}
	return strings.Join(list, "; ")
}

// editSteps are the edits that are shown to a person: the first ones that close and break nothing, and those that stop a
// source translation.
func editSteps(l Lang, e *Entry) []string {
	const most = 3
	var out []string
	show := func(p *EditProposal) {
		out = append(out, editStep.with(l, p.Device, strings.Join(p.Commands, " ; "), p.effect(l)))
	}
	if _, elsewhere := e.seenElsewhere(); elsewhere {
		for i := range e.Edits {
			if p := &e.Edits[i]; p.Unmasks {
				show(p)
			}
		}
	}
	n := 0
	for i := range e.Edits {
		if p := &e.Edits[i]; p.Closes && p.Breaks == "" && len(p.Opens) == 0 && n < most {
			show(p)
			n++
		}
	}
	if n == 0 {
		if i := slices.IndexFunc(e.Edits, func(p EditProposal) bool { return p.Closes }); i >= 0 {
			show(&e.Edits[i])
		}
	}
	return out
}

var (
	editStep    = text{"%[1]s: %[2]s (%[3]s)", "%[1]s: %[2]s (%[3]s)"}
	editCloses  = text{"Proved on the rules that were read: it closes this opening.", "読み込んだルール上で証明済み: この開放ポートを閉じる。"}
	editUnmasks = text{"The server then sees who really connects.", "サーバーは実際の接続元を見るようになる。"}
	editAlone   = text{"Nothing else changes.", "ほかの通信は変わらない。"}
	editAlso    = text{"It also closes %[1]s.", "次の通信も閉じる: %[1]s。"}
	editOpens   = text{"It would open %[1]s.", "次の通信が開く: %[1]s。"}
	editMoves   = text{"It would lead elsewhere: %[1]s.", "次の通信の行き先か送信元が変わる: %[1]s。"}
	editBreaks  = text{"It would close what is approved: %[1]s.", "承認済みの通信を閉じてしまう: %[1]s。"}
	seenByRule  = text{"The server saw this scan come from %[1]s, and it came from %[2]s: %[3]s makes every stranger look like that.", "サーバーから見たこの走査の送信元は %[1]s だが、実際の送信元は %[2]s である。%[3]s により、すべての部外者がそのアドレスに見える。"}
)

type editObject struct {
	Device     string   `json:"device"`
	Kind       string   `json:"kind"`
	Rule       string   `json:"rule"`
	Where      string   `json:"where"`
	Commands   []string `json:"commands"`
	Closes     bool     `json:"closes"`
	Unmasks    bool     `json:"unmasks"` // the server sees the client's own address
	Breaks     string   `json:"breaks"`  // an approved connection that it would close
	AlsoCloses []string `json:"also_closes"`
	Opens      []string `json:"opens"`
	Moves      []string `json:"moves"`
}

func editsOf(list []EditProposal) []editObject {
	out := []editObject{}
	for _, p := range list {
		out = append(out, editObject{valid(p.Device), p.Kind, valid(p.Line.Rule), valid(p.Line.Where), all(p.Commands), p.Closes, p.Unmasks, valid(p.Breaks), all(p.Also), all(p.Opens), all(p.Moves)})
	}
	return out
}
