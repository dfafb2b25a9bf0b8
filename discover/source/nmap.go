package source

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxDepth bounds nested elements: nmap's scripts write tables in tables.
const maxDepth = 64

// readNmap reads nmap's XML (-oX), and masscan's, a host at a time: those that are up, with their open TCP ports. A scan
// that was cut off leaves a file without an end: what it names until there is taken.
func readNmap(r io.Reader, by string, c *collector) error {
	d := xml.NewDecoder(r)
	var h scanned
	var port string
	down := 0
	for depth := 0; ; {
		t, err := d.Token()
		var bad *xml.SyntaxError
		switch {
		case errors.Is(err, io.EOF) && depth == 0 && h.root:
			if down > 0 {
				return c.leave(fmt.Sprintf("%d hosts", down), by, "they were down")
			}
			return nil
		case errors.Is(err, io.EOF) || errors.As(err, &bad) && bad.Msg == "unexpected EOF":
			if h.root {
				return c.leave("the rest", by, "the file ends in the middle: the scan was cut off")
			}
			return errors.New("not nmap's XML (-oX)")
		case errors.As(err, &bad):
			return fmt.Errorf("line %d: not nmap's XML (-oX): %.60q", bad.Line, bad.Msg)
		case errors.Is(err, errTooLarge):
			return err
		case err != nil: // also an encoding that is not known
			return fmt.Errorf("cannot be read as nmap's XML (-oX): %.60q", err.Error())
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return errors.New("not nmap's XML: elements without end in each other")
			}
			name := t.Name.Local
			if depth == 1 && name != "nmaprun" {
				return fmt.Errorf("not nmap's XML (-oX): it begins with %.40q", name)
			}
			h.root = true
			switch {
			case depth == 2 && (name == "host" || name == "hosthint"):
				h = scanned{root: true, inside: true}
			case !h.inside:
			case depth == 3 && name == "status":
				h.state = attr(t, "state")
			case depth == 3 && name == "address" && attr(t, "addrtype") != "mac":
				h.addrs = append(h.addrs, attr(t, "addr"))
			case depth == 4 && name == "port":
				if port = ""; attr(t, "protocol") == "tcp" {
					port = attr(t, "portid")
				}
			case depth == 5 && name == "state" && attr(t, "state") == "open":
				if n, err := strconv.ParseUint(port, 10, 16); err == nil {
					h.ports = append(h.ports, uint16(n))
				}
			}
			if len(h.addrs) > 16 {
				return errors.New("a host with more than 16 addresses")
			}
		case xml.EndElement:
			if depth--; depth != 1 || !h.inside {
				continue
			}
			h.inside = false
			if h.state != "" && h.state != "up" { // masscan writes none
				down++
				continue
			}
			for _, a := range h.addrs {
				if err := c.hostText(a, by, h.ports...); err != nil {
					return err
				}
			}
		}
	}
}

// scanned is the host that is being read.
type scanned struct {
	root, inside bool
	state        string
	addrs        []string
	ports        []uint16
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
