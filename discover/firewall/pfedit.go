package firewall

func editPF(e Edit, opn bool) []string { return nil }
