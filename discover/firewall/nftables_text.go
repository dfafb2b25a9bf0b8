package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// nftWriter writes expressions in nft's own language (nft(8)), as nft list ruleset does.
type nftWriter struct{ strings.Builder }

const nftLongest = 4000 // of a line; what is longer is cut when it is shown

// nftText is an expression in nft's language.
func nftText(v any) string {
	var w nftWriter
	w.statement(v)
	return w.String()
}

func nftShort(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (w *nftWriter) rule(b nftBody) {
	for i, s := range b.Expr {
		if i > 0 {
			w.WriteByte(' ')
		}
		w.statement(s)
	}
	if b.Comment != "" {
		w.WriteString(" comment " + strconv.Quote(b.Comment))
	}
}

// statement writes a statement or an expression.
func (w *nftWriter) statement(v any) {
	if w.Len() > nftLongest {
		return
	}
	kind, arg := nftOnly(v)
	o, _ := arg.(map[string]any)
	get := func(key string) string { return nftWord(o[key]) }
	switch kind {
	case "":
		w.value(v)
	case "match":
		w.statement(o["left"])
		if op := get("op"); op != "==" && op != "in" {
			w.WriteString(" " + op)
		} else if op == "==" && w.flags(o["left"], o["right"]) {
			w.WriteString(" ==")
		}
		w.WriteByte(' ')
		w.right(o["left"], o["right"])
	case "accept", "drop", "continue", "return", "notrack":
		w.WriteString(kind)
	case "jump", "goto":
		w.WriteString(kind + " " + get("target"))
	case "payload":
		if base := get("base"); base != "" {
			w.WriteString("@" + base + "," + get("offset") + "," + get("len"))
		} else {
			w.WriteString(get("protocol") + " " + get("field"))
		}
	case "meta":
		key := get("key")
		if !slices.Contains([]string{"iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"}, key) {
			key = "meta " + key
		}
		w.WriteString(key)
	case "ct":
		w.WriteString(strings.Join(strings.Fields("ct "+get("dir")+" "+get("key")), " "))
	case "fib":
		w.WriteString("fib " + strings.Join(nftStrings(o["flags"]), " . ") + " " + get("result"))
	case "concat":
		w.join(nftList(arg), " . ")
	case "&", "|", "^", "<<", ">>":
		w.join(nftList(arg), " "+kind+" ")
	case "range":
		w.join(nftList(arg), "-")
	case "prefix":
		w.WriteString(get("addr") + "/" + get("len"))
	case "elem":
		w.statement(o["val"])
		if t := get("timeout"); t != "" {
			w.WriteString(" timeout " + t + "s")
		}
		if c := get("comment"); c != "" {
			w.WriteString(" comment " + strconv.Quote(c))
		}
	case "set":
		if o == nil {
			w.WriteString("{ ")
			w.join(nftList(arg), ", ")
			w.WriteString(" }")
			return
		}
		w.WriteString(get("op") + " " + get("set") + " { ")
		w.statement(o["elem"])
		for _, s := range nftList(o["stmt"]) {
			w.WriteByte(' ')
			w.statement(s)
		}
		w.WriteString(" }")
	case "map":
		w.statement(o["key"])
		w.WriteString(" map ")
		w.pairs(o["key"], o["data"])
	case "vmap":
		w.statement(o["key"])
		w.WriteString(" vmap ")
		w.pairs(o["key"], o["data"])
	case "counter":
		w.WriteString("counter")
		switch a := arg.(type) {
		case string:
			w.WriteString(" name " + strconv.Quote(a))
		case map[string]any:
			if a["map"] != nil {
				w.WriteString(" name ")
				w.statement(a)
			} else if p := get("packets"); p != "" {
				w.WriteString(" packets " + p + " bytes " + get("bytes"))
			}
		}
	case "limit":
		if name, ok := arg.(string); ok {
			w.WriteString("limit name " + strconv.Quote(name))
			return
		}
		w.WriteString("limit rate ")
		if o["inv"] == true {
			w.WriteString("over ")
		}
		w.WriteString(get("rate"))
		if unit := get("rate_unit"); unit != "" && unit != "packets" {
			w.WriteString(" " + unit)
		}
		w.WriteString("/" + get("per"))
	case "quota":
		if name, ok := arg.(string); ok {
			w.WriteString("quota name " + strconv.Quote(name))
			return
		}
		w.WriteString("quota ")
		if o["inv"] == true {
			w.WriteString("over ")
		}
		w.WriteString(get("val") + " " + get("val_unit"))
	case "ct count":
		w.WriteString("ct count ")
		if o["inv"] == true {
			w.WriteString("over ")
		}
		w.WriteString(get("val"))
	case "meter":
		w.WriteString("meter " + get("name") + " { ")
		w.statement(o["key"])
		w.WriteByte(' ')
		w.statement(o["stmt"])
		w.WriteString(" }")
	case "numgen":
		w.WriteString("numgen " + get("mode") + " mod " + get("mod"))
		w.offset(get("offset"))
	case "jhash":
		w.WriteString("jhash ")
		w.statement(o["expr"])
		w.WriteString(" mod " + get("mod"))
		if seed := get("seed"); seed != "" {
			w.WriteString(" seed " + seed)
		}
		w.offset(get("offset"))
	case "symhash":
		w.WriteString("symhash mod " + get("mod"))
		w.offset(get("offset"))
	case "log":
		w.WriteString("log")
		for _, key := range []string{"prefix", "group", "snaplen", "queue-threshold", "level"} {
			if s := get(key); s != "" {
				if key == "prefix" {
					s = strconv.Quote(s)
				}
				w.WriteString(" " + key + " " + s)
			}
		}
		for _, f := range nftStrings(o["flags"]) {
			w.WriteString(" flags " + f)
		}
	case "mangle":
		w.statement(o["key"])
		w.WriteString(" set ")
		w.statement(o["value"])
	case "reject":
		w.WriteString("reject")
		if typ := get("type"); typ != "" {
			w.WriteString(strings.TrimRight(" with "+typ+" "+get("expr"), " "))
		}
	case "dnat", "snat", "redirect", "masquerade", "tproxy":
		w.translation(kind, o)
	case "queue":
		w.WriteString(strings.TrimRight("queue num "+get("num"), " "))
	case "reset":
		w.WriteString("reset ")
		w.statement(arg)
	case "exthdr":
		if get("field") != "" {
			w.WriteString(get("name") + " " + get("field"))
			return
		}
		w.WriteString(strings.TrimRight("exthdr "+get("name")+" "+get("field"), " "))
	case "tcp option", "ip option", "sctp chunk":
		w.WriteString(strings.TrimRight(kind+" "+get("name")+" "+get("field"), " "))
	case "flow":
		w.WriteString("flow " + get("op") + " " + get("flowtable"))
	case "xt":
		w.WriteString(strings.Join(strings.Fields("xt "+get("type")+" "+get("name")), " "))
	case "rt", "socket", "osf":
		w.WriteString(kind + " " + get("key"))
	default:
		w.WriteString(kind)
		if s := nftWord(arg); s != "" {
			w.WriteString(" " + s)
			return
		}
		for _, key := range slices.Sorted(nftKeys(o)) {
			if s := nftWord(o[key]); s != "" {
				w.WriteString(" " + key + " " + s)
			}
		}
	}
}

// flags reports whether an equality must be written out: without it nft asks whether one of the bits is set.
func (w *nftWriter) flags(left, right any) bool {
	kind, v := nftOnly(left)
	o, _ := v.(map[string]any)
	if kind == "&" {
		return true
	}
	if set, _ := nftOnly(right); set == "set" {
		return false
	}
	return kind == "payload" && nftWord(o["field"]) == "flags" || kind == "ct" && (o["key"] == "state" || o["key"] == "status")
}

// right writes a right side. Names of interfaces, and some others, stand in quotes.
func (w *nftWriter) right(left, v any) {
	kind, arg := nftOnly(v)
	key, l := nftOnly(left)
	parts, values := nftList(l), nftList(arg)
	text, isText := v.(string)
	switch {
	case kind == "set" && values != nil:
		w.WriteString("{ ")
		for i, e := range values {
			if i > 0 {
				w.WriteString(", ")
			}
			if w.Len() > nftLongest {
				return
			}
			w.right(left, e)
		}
		w.WriteString(" }")
	case kind == "concat" && key == "concat" && len(parts) == len(values):
		for i, e := range values {
			if i > 0 {
				w.WriteString(" . ")
			}
			w.right(parts[i], e)
		}
	case isText && !strings.HasPrefix(text, "@") && text != "*" && nftQuotes(left):
		w.WriteString(strconv.Quote(text))
	case kind == "range" && nftQuotes(left) && len(values) == 2:
		w.right(left, values[0])
		w.WriteByte('-')
		w.right(left, values[1])
	default:
		if l, ok := v.([]any); ok {
			w.join(l, ",")
			return
		}
		w.statement(v)
	}
}

// nftQuotes reports whether the values of a key stand in quotes.
func nftQuotes(key any) bool {
	kind, arg := nftOnly(key)
	o, _ := arg.(map[string]any)
	name, _ := o["key"].(string)
	switch kind {
	case "meta":
		return slices.Contains([]string{"iif", "oif", "iifname", "oifname", "iifkind", "oifkind", "ibrname", "obrname", "sdif", "sdifname", "time", "hour", "day"}, name)
	case "ct":
		return name == "helper"
	}
	return kind == "osf"
}

func (w *nftWriter) value(v any) {
	switch v := v.(type) {
	case []any:
		if len(v) == 1 {
			w.statement(v[0])
			return
		}
		w.WriteByte('(')
		w.join(v, " | ")
		w.WriteByte(')')
	case map[string]any:
		w.WriteByte('?')
	default:
		w.WriteString(nftWord(v))
	}
}

func (w *nftWriter) join(l []any, by string) {
	for i, e := range l {
		if i > 0 {
			w.WriteString(by)
		}
		if w.Len() > nftLongest {
			return
		}
		w.statement(e)
	}
}

// pairs writes the elements of a map.
func (w *nftWriter) pairs(key, v any) {
	kind, arg := nftOnly(v)
	if kind != "set" {
		w.statement(v)
		return
	}
	w.WriteString("{ ")
	for i, e := range nftList(arg) {
		if i > 0 {
			w.WriteString(", ")
		}
		if pair := nftList(e); len(pair) == 2 {
			w.right(key, pair[0])
			w.WriteString(" : ")
			w.statement(pair[1])
		}
		if w.Len() > nftLongest {
			break
		}
	}
	w.WriteString(" }")
}

func (w *nftWriter) offset(s string) {
	if s != "" && s != "0" {
		w.WriteString(" offset " + s)
	}
}

func (w *nftWriter) translation(kind string, o map[string]any) {
	w.WriteString(kind)
	if f := nftWord(o["family"]); f != "" {
		w.WriteString(" " + f)
	}
	typ := nftStrings(o["type_flags"])
	if slices.Contains(typ, "prefix") {
		w.WriteString(" prefix")
	}
	addr, port := o["addr"], o["port"]
	if addr != nil || port != nil {
		w.WriteString(" to ")
	}
	if addr != nil {
		v6 := port != nil && strings.Contains(nftWord(addr), ":")
		if v6 {
			w.WriteByte('[')
		}
		w.statement(addr)
		if v6 {
			w.WriteByte(']')
		}
	}
	if port != nil {
		w.WriteByte(':')
		w.statement(port)
	}
	var flags []string
	for _, f := range nftStrings(o["flags"]) {
		if f != "netmap" {
			flags = append(flags, f)
		}
	}
	if len(flags) > 0 {
		w.WriteString(" " + strings.Join(flags, ","))
	}
}

// nftWord is a word or number.
func nftWord(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "exists"
		}
		return "missing"
	}
	return ""
}

func nftKeys(o map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range o {
			if !yield(k) {
				return
			}
		}
	}
}

// editNft writes a change as commands of nft.
func editNft(rs *Ruleset, e Edit) []string {
	if e.Chain == nil {
		return nil
	}
	chain := e.Chain.Name
	table := chain[:max(0, strings.LastIndexByte(chain, ' '))]
	handle := ""
	if e.Rule != nil {
		var ok bool
		if _, handle, ok = strings.Cut(e.Rule.ID, " handle "); !ok {
			return nil
		}
	}
	put := func(match, verdict string) string {
		if handle == "" { // above the policy
			return strings.Join(strings.Fields("nft add rule "+chain+" "+match+" "+verdict), " ")
		}
		return strings.Join(strings.Fields("nft insert rule "+chain+" position "+handle+" "+match+" "+verdict), " ")
	}
	switch e.Kind {
	case DenyAbove:
		var out []string
		for _, from := range nftSources(e.Sources, e.Dst.Addr(), "") {
			out = append(out, put(from+" "+nftDst(e.Dst), "drop"))
		}
		return out
	case Narrow:
		var out []string
		for _, from := range nftSources(e.Sources, e.Dst.Addr(), "!=") {
			out = append(out, put(from+" "+nftDst(e.Dst), "drop"))
		}
		full := nftSources(e.Sources, e.Dst.Addr(), "")
		if e.Rule != nil && len(full) == 1 && len(e.Rule.Text) > 0 && !strings.Contains(e.Rule.Text, "…") && len(e.Sources) > 0 {
			return []string{"nft replace rule " + chain + " handle " + handle + " " + full[0] + " " + e.Rule.Text}
		}
		return out
	case DropMember:
		if e.Object == "" {
			return nil
		}
		return []string{fmt.Sprintf("nft delete element %s %s { %s }", table, e.Object, nftMember(e.Member))}
	case Remove, StopNAT:
		if handle == "" {
			return nil
		}
		if e.Kind == StopNAT && e.Dst.IsValid() {
			var out []string
			for _, from := range nftSources(e.Sources, e.Dst.Addr(), "") {
				out = append(out, put(from+" "+nftDst(e.Dst), "accept"))
			}
			return out
		}
		return []string{"nft delete rule " + chain + " handle " + handle}
	}
	return nil
}

// nftSources writes source prefixes as conditions: one for each family, which is that of dst where it is known.
func nftSources(list []netip.Prefix, dst netip.Addr, op string) (out []string) {
	if list == nil {
		return []string{""}
	}
	var by [2][]string
	for _, p := range list {
		s := p.Masked().String()
		if p.IsSingleIP() {
			s = p.Addr().String()
		}
		family := 0
		if p.Addr().Is6() {
			family = 1
		}
		if dst.IsValid() && dst.Unmap().Is4() != (family == 0) {
			continue
		}
		by[family] = append(by[family], s)
	}
	for i, word := range []string{"ip saddr", "ip6 saddr"} {
		switch len(by[i]) {
		case 0:
		case 1:
			out = append(out, strings.Join(strings.Fields(word+" "+op+" "+by[i][0]), " "))
		default:
			out = append(out, strings.Join(strings.Fields(word+" "+op+" { "+strings.Join(by[i], ", ")+" }"), " "))
		}
	}
	return out
}

func nftDst(dst netip.AddrPort) string {
	s := ""
	if a := dst.Addr().Unmap(); a.Is4() {
		s = "ip daddr " + a.String()
	} else if a.Is6() {
		s = "ip6 daddr " + a.String()
	}
	if dst.Port() != 0 {
		s += " tcp dport " + strconv.Itoa(int(dst.Port()))
	}
	return s
}

// nftMember writes an element of a set: a port where it is small, else an address.
func nftMember(r Range) string {
	if r.Last.less(Value{0, 1 << 16}) {
		if r.First == r.Last {
			return strconv.FormatUint(r.First.Lo, 10)
		}
		return fmt.Sprintf("%d-%d", r.First.Lo, r.Last.Lo)
	}
	if r.First == r.Last {
		return r.First.Addr().String()
	}
	if p := r.Prefixes(); len(p) == 1 {
		return p[0].String()
	}
	return r.First.Addr().String() + "-" + r.Last.Addr().String()
}
