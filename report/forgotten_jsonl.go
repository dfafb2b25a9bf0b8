package report

// namingFields are what a finding's line tells of its owner, and of who names it.
type namingFields struct {
	Owner    string          `json:"owner,omitempty"`
	Site     string          `json:"site,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Asset    *assetObject    `json:"asset,omitempty"`     // of the address plan, by the longest prefix
	Mentions []mentionObject `json:"mentions,omitempty"`  // who names the server
	Forgot   *bool           `json:"forgotten,omitempty"` // nobody names it; absent: that is not known
}

type assetObject struct {
	Prefix string `json:"prefix"`
	Name   string `json:"name"`
	Where  string `json:"where"`
}

type mentionObject struct {
	By      string `json:"by"` // mx, spf, ptr, certificate, approval, ipam
	Name    string `json:"name"`
	Network string `json:"network,omitempty"` // that is named as a whole, of SPF
	Doubt   string `json:"doubt,omitempty"`   // why it does not count
}

func namingOf(e *Entry) namingFields {
	var n namingFields
	if a := e.Asset; a != nil {
		n.Owner, n.Site, n.Asset = valid(a.Owner), valid(a.Site), &assetObject{a.Prefix.String(), valid(a.Name), valid(a.Where)}
		for _, t := range a.Tags {
			n.Tags = append(n.Tags, valid(t))
		}
	}
	for _, m := range e.Mentions {
		o := mentionObject{By: valid(m.By), Name: valid(m.Name), Doubt: m.Doubt}
		if m.Network.IsValid() {
			o.Network = m.Network.String()
		}
		n.Mentions = append(n.Mentions, o)
	}
	if e.Forgotten || e.listensForMail() && e.named() {
		n.Forgot = &e.Forgotten
	}
	return n
}
