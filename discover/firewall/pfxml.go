package firewall

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// pfElement is a part of a config.xml, with its lines.
type pfElement struct {
	name, text, uuid string
	line, end        int
	kids             []*pfElement
}

// Bounds of what is read. A config.xml of ten thousand rules has a third of a million elements.
const (
	pfMaxElements = 1 << 20
	pfMaxRules    = 50_000
	pfMaxNesting  = 64
	pfMaxTag      = 64 << 10 // bytes
)

// pfParts are the parts of a config.xml that are read. The rest is passed over: users, certificates, keys, packages.
var pfParts = map[string]bool{
	"system": true, "system/ipv6allow": true, "system/disablefilter": true, "system/webgui": true, "system/ssh": true,
	"system/disablenatreflection": true, "system/enablenatreflectionpurenat": true, "system/enablebinatreflection": true,
	"system/enablenatreflectionhelper": true, "system/no_apipa_block": true, "system/no_port0_block": true,
	"interfaces": true, "filter": true, "nat": true, "aliases": true, "virtualip": true, "gateways": true,
	"staticroutes": true, "ifgroups": true, "load_balancer": true,
	"OPNsense": true, "OPNsense/Firewall": true, "OPNsense/Gateways": true, "OPNsense/Interfaces": true,
	"openvpn": true, "openvpn/openvpn-server": true, "openvpn/openvpn-client": true, "installedpackages": true, "installedpackages/miniupnpd": true,
}

// pfSplit are the parts of which only some are read.
var pfSplit = map[string]bool{"system": true, "OPNsense": true, "openvpn": true, "installedpackages": true}

// pfPrivate are never read, wherever they stand.
var pfPrivate = map[string]bool{"password": true, "username_password": true, "shared_key": true, "tls": true}

// readPFXML reads the parts of a config.xml that matter. On an error it returns what came before, and where it was.
func readPFXML(data []byte) (root *pfElement, line int, err error) {
	var long error
	if at := pfLongTag(data); at >= 0 {
		data, long = data[:at], fmt.Errorf("a tag is longer than %d kB", pfMaxTag>>10)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	type open struct {
		e    *pfElement
		text []byte
	}
	var (
		stack   []open
		path    []string
		skip    int // levels within a part that is not read
		count   int
		kept    int
		rules   int
		strs    = make(map[string]string)
		pastEnd bool
	)
	intern := func(s string) string {
		if t, ok := strs[s]; ok {
			return t
		}
		if len(strs) < 4096 {
			strs[s] = s
		}
		return s
	}
	for {
		line, _ = d.InputPos()
		tok, e := d.Token()
		if e != nil {
			if errors.Is(e, io.EOF) && pastEnd && long == nil {
				return root, line, nil
			}
			if err = e; long != nil {
				err = long
			}
			break
		}
		switch t := tok.(type) {
		case xml.StartElement:
			name := t.Name.Local
			path = append(path, name)
			if count++; len(path) > pfMaxNesting || count > 16*pfMaxElements {
				err = errors.New("too many elements, or too deep ones, for a config.xml")
			}
			if pastEnd {
				err = errors.New("more than one document")
			}
			if err != nil {
				break
			}
			if skip > 0 || pfPrivate[name] || !pfWanted(path) {
				skip++
				continue
			}
			if name == "rule" {
				rules++
			}
			if kept++; kept > pfMaxElements || rules > pfMaxRules {
				err = errors.New("too many elements for a config.xml")
				break
			}
			el := &pfElement{name: intern(name), line: line}
			for _, a := range t.Attr {
				if a.Name.Local == "uuid" && len(a.Value) <= 64 {
					el.uuid = a.Value
				}
			}
			if len(stack) == 0 {
				root = el
			} else {
				up := stack[len(stack)-1].e
				up.kids = append(up.kids, el)
			}
			stack = append(stack, open{e: el})
		case xml.EndElement:
			path = path[:len(path)-1]
			if skip > 0 {
				skip--
				continue
			}
			last := stack[len(stack)-1]
			last.e.end, _ = d.InputPos()
			if len(last.e.kids) == 0 {
				last.e.text = string(bytes.TrimSpace(last.text))
			}
			stack = stack[:len(stack)-1]
			pastEnd = len(stack) == 0
		case xml.CharData:
			if skip == 0 && len(stack) > 0 {
				last := &stack[len(stack)-1]
				if len(last.e.kids) == 0 {
					last.text = append(last.text, t...)
				}
			}
		}
		if err != nil {
			break
		}
	}
	for _, o := range stack {
		o.e.end = line
	}
	return root, line, err
}

func pfWanted(path []string) bool {
	switch len(path) {
	case 1:
		return true
	case 2:
		return pfParts[path[1]]
	case 3:
		return !pfSplit[path[1]] || pfParts[path[1]+"/"+path[2]]
	case 4:
		return path[1] != "openvpn" || path[3] == "tunnel_network" || path[3] == "disable"
	}
	return true
}

// pfLongTag finds a tag that no config.xml has: the decoder would keep all of its attributes.
func pfLongTag(data []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(data[at:], '<')
		if i < 0 {
			return -1
		}
		at += i
		end := []byte(">")
		if bytes.HasPrefix(data[at:], []byte("<![CDATA[")) {
			end = []byte("]]>")
		} else if bytes.HasPrefix(data[at:], []byte("<!--")) {
			end = []byte("-->")
		}
		n := bytes.Index(data[at:], end)
		switch {
		case n < 0 && len(data)-at > pfMaxTag, n > pfMaxTag && len(end) == 1:
			return at
		case n < 0:
			return -1
		}
		at += n
	}
}

// kid is the first part of a name, or nil; of a nil element too.
func (e *pfElement) kid(names ...string) *pfElement {
	for _, name := range names {
		var found *pfElement
		if e != nil {
			for _, k := range e.kids {
				if k.name == name {
					found = k
					break
				}
			}
		}
		if e = found; e == nil {
			return nil
		}
	}
	return e
}

// all are the parts of a name.
func (e *pfElement) all(name string) (out []*pfElement) {
	if e == nil {
		return nil
	}
	for _, k := range e.kids {
		if k.name == name {
			out = append(out, k)
		}
	}
	return out
}

func (e *pfElement) has(name string) bool { return e.kid(name) != nil }

// of is the text of a part.
func (e *pfElement) of(names ...string) string {
	if k := e.kid(names...); k != nil {
		return k.text
	}
	return ""
}

// pfFirstTag tells the name of the first tag of an XML file.
func pfFirstTag(start []byte) string {
	s := string(start)
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		switch {
		case strings.HasPrefix(s, "<?"):
			_, rest, ok := strings.Cut(s, "?>")
			if !ok {
				return ""
			}
			s = rest
		case strings.HasPrefix(s, "<!--"):
			_, rest, ok := strings.Cut(s, "-->")
			if !ok {
				return ""
			}
			s = rest
		case strings.HasPrefix(s, "<!"):
			_, rest, ok := strings.Cut(s, ">")
			if !ok {
				return ""
			}
			s = rest
		case strings.HasPrefix(s, "<"):
			if i := strings.IndexAny(s, " \t\r\n/>"); i > 0 {
				return s[1:i]
			}
			return ""
		default:
			return ""
		}
	}
}
