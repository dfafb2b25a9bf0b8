package report

import (
	"net/netip"
	"slices"

	"relaysweep/probe"
)

// Passages are the firewall lines that findings came through, or that deny them, as an inventory keeps them: without the
// file's line numbers, which move when other lines come and go.
func (in *Rules) Passages(findings []probe.Finding) map[netip.AddrPort][]string {
	if in == nil || len(in.Devices) == 0 {
		return nil
	}
	lists := make([][]string, len(findings))
	inParallel(len(findings), func(i int) {
		f := &findings[i]
		w := in.follow(in.flow(f.Addr, cameFrom(f)))
		for _, l := range linesOf(in, &w) {
			text := l.Text
			if text == "" {
				text = l.Rule
			}
			lists[i] = append(lists[i], l.Action+" by "+l.Device+": "+text)
		}
	})
	out := make(map[netip.AddrPort][]string)
	for i, list := range lists {
		if len(list) > 0 {
			out[findings[i].Addr] = slices.Compact(list)
		}
	}
	return out
}
