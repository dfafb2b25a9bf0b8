package firewall

import (
	"fmt"
	"net/netip"
	"strings"
)

// editPF tells the steps in the pages of pfSense and OPNsense: neither has a line to type. Rules that a product makes by
// itself are no lines of these pages; what to do about them depends on where they come from.
func editPF(rs *Ruleset, e Edit, opn bool) []string {
	if e.Kind == DropMember {
		m, ok := rs.members[e.Object][e.Member]
		if !ok || m.name == "" {
			return nil
		}
		return []string{fmt.Sprintf("Firewall > Aliases > %s: remove %s", m.group, m.name), "Apply changes"}
	}
	r := e.Rule
	if r == nil {
		return nil
	}
	tab, rest, ok := strings.Cut(r.Text, ": ")
	if !ok {
		return nil
	}
	page, found := pfPage(tab, r, opn)
	if !found {
		return nil
	}
	name := "tracker " + r.ID
	if opn {
		name = "uuid " + r.ID
	}
	if strings.Contains(r.ID, " ") { // no name that the device knows, but where it stands in the file
		name = r.ID
	}
	if r.Comment != "" {
		name = fmt.Sprintf("%q (%s)", r.Comment, name)
	}
	filter := e.Step == nil || e.Step.Kind == Filter
	var step string
	switch e.Kind {
	case DenyAbove:
		if !filter || !e.Dst.IsValid() {
			return nil
		}
		step = fmt.Sprintf("%s: add above %s: Block%s, %s, TCP, source %s, destination %s port %d", page, name, pfFloating(tab, rest, r), pfFamily(e.Dst.Addr()), pfSources(e.Sources), e.Dst.Addr(), e.Dst.Port())
	case Narrow:
		if len(e.Sources) == 0 {
			return nil
		}
		step = fmt.Sprintf("%s: edit %s: source %s", page, name, pfSources(e.Sources))
	case Remove:
		step = fmt.Sprintf("%s: delete %s", page, name)
	case StopNAT:
		switch {
		case filter:
			return nil
		case !e.Dst.IsValid():
			step = fmt.Sprintf("%s: delete %s", page, name)
		default:
			no := "No RDR"
			if e.Step.Kind == SNAT {
				no = "Do not NAT"
			}
			step = fmt.Sprintf("%s: add above %s: %s, %s, TCP, source %s, destination %s port %d", page, name, no, pfFamily(e.Dst.Addr()), pfSources(e.Sources), e.Dst.Addr(), e.Dst.Port())
		}
	default:
		return nil
	}
	return []string{step, "Apply changes"}
}

// pfPage is where a rule is shown, by the tab that its text begins with.
func pfPage(tab string, r *Rule, opn bool) (string, bool) {
	switch {
	case strings.HasPrefix(r.ID, "automatic "):
		return "Firewall > NAT > Outbound, mode Hybrid", true
	case tab == "Automatic", tab == "Missing", strings.HasSuffix(r.ID, "/reflection"):
		return "", false
	case tab == "Port Forward", tab == "1:1", tab == "Outbound":
		if opn && tab == "1:1" {
			tab = "One-to-One"
		}
		return "Firewall > NAT > " + tab, true
	case tab == "new":
		return "Firewall > Rules [new]", true
	}
	return "Firewall > Rules > " + tab, true
}

// pfFloating is what must be chosen for a floating rule to decide: Quick, and where it holds.
func pfFloating(tab, rest string, r *Rule) string {
	if tab != "Floating" && tab != "new" {
		return ""
	}
	way, on := "in", "any"
	f := strings.Fields(rest)
	for i := range f {
		switch {
		case i == 1:
			way = f[i]
		case f[i] == "on" && i+1 < len(f) && i < 4:
			on = f[i+1]
		case f[i] == "from":
			return ", Quick, interface " + on + ", direction " + way
		}
	}
	return ", Quick, interface " + on + ", direction " + way
}

func pfFamily(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// pfSources names prefixes; several need an alias.
func pfSources(list []netip.Prefix) string {
	var text []string
	for _, p := range list {
		text = append(text, p.String())
	}
	switch len(text) {
	case 0:
		return "any"
	case 1:
		return text[0]
	}
	return "an alias of " + strings.Join(text, " ")
}
