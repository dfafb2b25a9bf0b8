package fingerprint

// What a Service.Kind can be, beside "".
const (
	mta       = "mta"       // carries mail
	sink      = "sink"      // takes mail and keeps it: a developer's trap, a honeypot, a tarpit
	appliance = "appliance" // a gateway or device with mail in it
	library   = "library"   // a program of somebody's own, made with this
)

// The two products that the code knows by name.
const (
	iis      = "iis"
	exchange = "exchange"
)

// product is a product that a rule can tell.
type product struct {
	name, vendor string
	kind         string
	os           string   // the only one that it runs on, "" if there are several
	cpe          string   // part, vendor and product of the CPE 2.3 name, as the NVD writes them; "" if it has none that we know
	cpeParts     int      // how many parts of the version are in the CPE name; 0: all
	speaks       []string // products that it's made of or imitates: their lines are its own
	front        bool     // stands before another server, whose lines come through
}

// rule is one way to tell a product by a line.
type rule struct {
	id string
	at place
	// RE2, matched against one line without its end: of a refusal the whole line, of others what follows the code.
	// The groups "version" and "os" are what their names say; they must not match control characters.
	re   string
	is   string // key of products
	sure int    // Service.Confidence when nothing else is known
	// What the match itself tells; the groups go before.
	os, version string
}

// products by the key that rules use.
var products = map[string]product{
	// Mail servers.
	"postfix":         {name: "Postfix", vendor: "Postfix", kind: mta, cpe: "a:postfix:postfix"},
	"exim":            {name: "Exim", vendor: "Exim", kind: mta, cpe: "a:exim:exim"},
	"sendmail":        {name: "Sendmail", vendor: "Sendmail", kind: mta, cpe: "a:sendmail:sendmail"},
	"qmail":           {name: "qmail", vendor: "D. J. Bernstein", kind: mta},
	"netqmail":        {name: "netqmail", vendor: "netqmail", kind: mta, cpe: "a:netqmail:netqmail", speaks: []string{"qmail"}},
	"notqmail":        {name: "notqmail", vendor: "notqmail", kind: mta, speaks: []string{"qmail"}},
	"sqmail":          {name: "s/qmail", vendor: "Erwin Hoffmann", kind: mta, speaks: []string{"qmail"}},
	"indimail":        {name: "IndiMail", vendor: "IndiMail", kind: mta, speaks: []string{"qmail", "netqmail"}},
	exchange:          {name: "Exchange Server", vendor: "Microsoft", kind: mta, os: "Windows", cpe: "a:microsoft:exchange_server", speaks: []string{iis}},
	"exchange-online": {name: "Exchange Online", vendor: "Microsoft", kind: mta, speaks: []string{exchange, iis}},
	iis:               {name: "IIS SMTP Service", vendor: "Microsoft", kind: mta, os: "Windows", cpe: "a:microsoft:internet_information_services", cpeParts: 2},
	"domino":          {name: "Domino", vendor: "HCL", kind: mta, cpe: "a:hcltech:domino"},
	"domino-ibm":      {name: "Domino", vendor: "IBM", kind: mta, cpe: "a:ibm:domino", speaks: []string{"domino"}},
	"domino-lotus":    {name: "Lotus Domino", vendor: "IBM", kind: mta, cpe: "a:ibm:lotus_domino", speaks: []string{"domino"}},
	"opensmtpd":       {name: "OpenSMTPD", vendor: "OpenBSD", kind: mta, cpe: "a:openbsd:opensmtpd"},
	"courier":         {name: "Courier Mail Server", vendor: "Courier", kind: mta},
	"zimbra":          {name: "Zimbra Collaboration", vendor: "Synacor", kind: mta, cpe: "a:zimbra:collaboration", speaks: []string{"postfix"}},
	"hmailserver":     {name: "hMailServer", vendor: "hMailServer", kind: mta, os: "Windows", cpe: "a:hmailserver:hmailserver"},
	"mdaemon":         {name: "MDaemon", vendor: "MDaemon Technologies", kind: mta, os: "Windows", cpe: "a:altn:mdaemon"},
	"mailenable":      {name: "MailEnable", vendor: "MailEnable", kind: mta, os: "Windows", cpe: "a:mailenable:mailenable"},
	"haraka":          {name: "Haraka", vendor: "Haraka", kind: mta, cpe: "a:haraka_project:haraka"},
	"postal":          {name: "Postal", vendor: "Postal", kind: mta},
	"stalwart":        {name: "Stalwart", vendor: "Stalwart Labs", kind: mta},
	"maddy":           {name: "Maddy", vendor: "Maddy", kind: mta, cpe: "a:maddy_project:maddy", speaks: []string{"go-smtp"}},
	"mox":             {name: "mox", vendor: "mox", kind: mta},
	"james":           {name: "James", vendor: "Apache", kind: mta, cpe: "a:apache:james"},
	"kerio-connect":   {name: "Kerio Connect", vendor: "GFI", kind: mta, cpe: "a:kerio:connect"},
	"kerio-server":    {name: "Kerio MailServer", vendor: "Kerio", kind: mta, cpe: "a:kerio:kerio_mailserver"},
	"axigen":          {name: "Axigen", vendor: "Axigen", kind: mta, cpe: "a:gecad:axigen_mail_server"},
	"communigate":     {name: "CommuniGate Pro", vendor: "CommuniGate Systems", kind: mta, cpe: "a:communigate:communigate_pro"},
	"argosoft":        {name: "Mail Server", vendor: "ArGoSoft", kind: mta, os: "Windows", cpe: "a:argosoft:mail_server"},
	"surgemail":       {name: "SurgeMail", vendor: "NetWin", kind: mta, cpe: "a:netwin:surgemail"},
	"icewarp":         {name: "IceWarp", vendor: "IceWarp", kind: mta, cpe: "a:icewarp:mail_server"},
	"groupwise":       {name: "GroupWise", vendor: "OpenText", kind: mta, cpe: "a:novell:groupwise"},
	"imail":           {name: "IMail Server", vendor: "Ipswitch", kind: mta, os: "Windows", cpe: "a:ipswitch:imail_server"},
	"mercury":         {name: "Mercury/32", vendor: "David Harris", kind: mta},
	"xmail":           {name: "XMail", vendor: "Davide Libenzi", kind: mta, cpe: "a:davide_libenzi:xmail"},
	"smartermail":     {name: "SmarterMail", vendor: "SmarterTools", kind: mta, os: "Windows", cpe: "a:smartertools:smartermail"},
	"momentum":        {name: "Momentum (Ecelerity)", vendor: "MessageBird", kind: mta},
	"powermta":        {name: "PowerMTA", vendor: "Port25", kind: mta},
	"kumomta":         {name: "KumoMTA", vendor: "KumoCorp", kind: mta},
	"zmailer":         {name: "ZMailer", vendor: "ZMailer", kind: mta},
	"masqmail":        {name: "MasqMail", vendor: "MasqMail", kind: mta},
	"citadel":         {name: "Citadel", vendor: "Citadel", kind: mta, cpe: "a:citadel:ux"},
	"mailsite":        {name: "MailSite", vendor: "Rockliffe", kind: mta, os: "Windows"},
	"ntmail":          {name: "NTMail", vendor: "Gordano", kind: mta},
	"slmail":          {name: "SLMail", vendor: "Seattle Lab", kind: mta, os: "Windows"},
	"pmail":           {name: "PMail Server", vendor: "A.K.I Software", kind: mta, os: "Windows"},
	"david":           {name: "david", vendor: "Tobit.Software", kind: mta},
	"netscape":        {name: "Messaging Server", vendor: "Netscape", kind: mta, cpe: "a:netscape:messaging_server"},
	"postoffice":      {name: "Post.Office", vendor: "Software.com", kind: mta},
	"eims":            {name: "Eudora Internet Mail Server", vendor: "Qualcomm", kind: mta},
	"chasquid":        {name: "chasquid", vendor: "chasquid", kind: mta},
	"msmtpd":          {name: "msmtpd", vendor: "msmtp", kind: mta},
	"qpsmtpd":         {name: "qpsmtpd", vendor: "qpsmtpd", kind: mta, cpe: "a:ask_bjorn_hansen:qpsmtpd"},
	"dovecot":         {name: "Dovecot", vendor: "Dovecot", kind: mta, cpe: "a:dovecot:dovecot"},
	"gmail":           {name: "Gmail", vendor: "Google", kind: mta},
	"ses":             {name: "Simple Email Service", vendor: "Amazon", kind: mta},
	"ibm-i":           {name: "IBM i SMTP", vendor: "IBM", kind: mta, cpe: "o:ibm:os_400"},
	"ibm-zos":         {name: "z/OS Communications Server SMTP", vendor: "IBM", kind: mta},
	"ibm-vm":          {name: "z/VM SMTP", vendor: "IBM", kind: mta},
	"vms-tcpip":       {name: "TCP/IP Services for OpenVMS", vendor: "HP", kind: mta},
	"multinet":        {name: "MultiNet SMTP", vendor: "Process Software", kind: mta},
	"pmdf":            {name: "PMDF", vendor: "Process Software", kind: mta},

	// Gateways, services and devices.
	"barracuda":       {name: "Email Security Gateway", vendor: "Barracuda", kind: appliance, front: true},
	"barracuda-cloud": {name: "Email Gateway Defense", vendor: "Barracuda", kind: appliance, front: true},
	"ironport":        {name: "Secure Email Gateway (IronPort)", vendor: "Cisco", kind: appliance, cpe: "o:cisco:asyncos", front: true},
	"fortimail":       {name: "FortiMail", vendor: "Fortinet", kind: appliance, cpe: "a:fortinet:fortimail", front: true},
	"sophos":          {name: "Email Appliance", vendor: "Sophos", kind: appliance, cpe: "a:sophos:email_appliance", speaks: []string{"postfix"}, front: true},
	"proofpoint":      {name: "Email Protection", vendor: "Proofpoint", kind: appliance, speaks: []string{"sendmail"}, front: true},
	"mimecast":        {name: "Email Security", vendor: "Mimecast", kind: appliance, front: true},
	"messagelabs":     {name: "Email Security.cloud (MessageLabs)", vendor: "Symantec", kind: appliance, front: true},
	"pix":             {name: "PIX/ASA SMTP inspection", vendor: "Cisco", kind: appliance, front: true},
	"smg":             {name: "Messaging Gateway", vendor: "Symantec", kind: appliance, cpe: "a:symantec:messaging_gateway", front: true},
	"sms-smtp":        {name: "Mail Security for SMTP", vendor: "Symantec", kind: appliance, cpe: "a:symantec:mail_security_for_smtp", front: true},
	"imsva":           {name: "InterScan Messaging Security Virtual Appliance", vendor: "Trend Micro", kind: appliance, cpe: "a:trendmicro:interscan_messaging_security_virtual_appliance", speaks: []string{"postfix"}, front: true},
	"imss":            {name: "InterScan Messaging Security Suite", vendor: "Trend Micro", kind: appliance, cpe: "a:trendmicro:interscan_messaging_security_suite", speaks: []string{"postfix"}, front: true},
	"viruswall":       {name: "InterScan VirusWall", vendor: "Trend Micro", kind: appliance, cpe: "a:trendmicro:interscan_viruswall", front: true},
	"mailplus":        {name: "MailPlus Server", vendor: "Synology", kind: appliance, speaks: []string{"postfix"}},
	"pmg":             {name: "Proxmox Mail Gateway", vendor: "Proxmox", kind: appliance, speaks: []string{"postfix"}, front: true},
	"mailcow":         {name: "mailcow", vendor: "mailcow", kind: mta, speaks: []string{"postfix"}},
	"mailinabox":      {name: "Mail-in-a-Box", vendor: "Mail-in-a-Box", kind: mta, speaks: []string{"postfix"}},
	"sonicwall":       {name: "Email Security", vendor: "SonicWall", kind: appliance, cpe: "a:sonicwall:email_security", front: true},
	"firewall-1":      {name: "FireWall-1 SMTP Security Server", vendor: "Check Point", kind: appliance, cpe: "a:checkpoint:firewall-1", front: true},
	"cellopoint":      {name: "E-mail Firewall", vendor: "Cellopoint", kind: appliance, front: true},
	"mailsweeper":     {name: "MAILsweeper", vendor: "Clearswift", kind: appliance, front: true},
	"webshield":       {name: "WebShield", vendor: "McAfee", kind: appliance, cpe: "a:mcafee:webshield", front: true},
	"mailmarshal":     {name: "MailMarshal Email Security", vendor: "Trustwave", kind: appliance, front: true},
	"mirapoint":       {name: "Message Server", vendor: "Mirapoint", kind: appliance},
	"unity":           {name: "Unity Connection", vendor: "Cisco", kind: appliance, cpe: "a:cisco:unity_connection"},
	"proxsmtp":        {name: "ProxSMTP or ClamSMTP", vendor: "Stef Walter", kind: appliance, front: true},
	"spamd":           {name: "spamd", vendor: "OpenBSD", kind: sink},
	"greyd":           {name: "greyd", vendor: "greyd", kind: sink},
	"canon":           {name: "imageRUNNER", vendor: "Canon", kind: appliance},
	"konica":          {name: "bizhub", vendor: "Konica Minolta", kind: appliance},
	"panasonic":       {name: "WORKiO", vendor: "Panasonic", kind: appliance},
	"brother":         {name: "printer", vendor: "Brother", kind: appliance},
	"ricoh":           {name: "multifunction printer", vendor: "Ricoh", kind: appliance},
	"fuji-xerox":      {name: "multifunction printer", vendor: "Fuji Xerox", kind: appliance},
	"kyocera":         {name: "multifunction printer", vendor: "Kyocera", kind: appliance},
	"sharp":           {name: "multifunction printer", vendor: "Sharp", kind: appliance},
	"hp":              {name: "printer", vendor: "HP", kind: appliance},
	"epson":           {name: "printer", vendor: "Epson", kind: appliance},
	"lexmark":         {name: "printer", vendor: "Lexmark", kind: appliance},
	"oki":             {name: "printer", vendor: "OKI", kind: appliance},
	"toshiba":         {name: "multifunction printer", vendor: "Toshiba", kind: appliance},
	"xerox":           {name: "multifunction printer", vendor: "Xerox", kind: appliance},
	"fujitsu":         {name: "network scanner", vendor: "Fujitsu", kind: appliance},
	"qnap":            {name: "network storage", vendor: "QNAP", kind: appliance},
	"synology":        {name: "network storage", vendor: "Synology", kind: appliance},
	"netgear":         {name: "network storage", vendor: "NETGEAR", kind: appliance},
	"buffalo":         {name: "network storage", vendor: "Buffalo", kind: appliance},
	"apc":             {name: "UPS network card", vendor: "APC", kind: appliance},
	"vmware-auth":     {name: "Authentication Daemon", vendor: "VMware"}, // greets with 220 on 902/tcp and is no mail server

	// Libraries and what is made for development.
	"go-smtp":      {name: "go-smtp", vendor: "emersion", kind: library},
	"guerrilla":    {name: "go-guerrilla", vendor: "Guerrilla Mail", kind: library},
	"aiosmtpd":     {name: "aiosmtpd", vendor: "aio-libs", kind: library},
	"smtpd.py":     {name: "smtpd (Python)", vendor: "Python", kind: library, speaks: []string{"aiosmtpd"}},
	"twisted":      {name: "Twisted Mail", vendor: "Twisted", kind: library},
	"smtp-server":  {name: "smtp-server", vendor: "Nodemailer", kind: library},
	"smtpserver":   {name: "SmtpServer (.NET)", vendor: "Cain O'Sullivan", kind: library},
	"subetha":      {name: "SubEthaSMTP", vendor: "Voodoodyne", kind: library, cpe: "a:voodoodyne:subethasmtp"},
	"eventmachine": {name: "EventMachine SMTP (MailCatcher)", vendor: "EventMachine", kind: library},
	"mailhog":      {name: "MailHog", vendor: "MailHog", kind: sink, cpe: "a:mailhog:mailhog", speaks: []string{"go-smtp"}},
	"mailpit":      {name: "Mailpit", vendor: "axllent", kind: sink, cpe: "a:axllent:mailpit"},
	"smtp4dev":     {name: "smtp4dev", vendor: "rnwood", kind: sink},
	"papercut":     {name: "Papercut SMTP", vendor: "Changemaker Studios", kind: sink, speaks: []string{"smtpserver"}},
	"greenmail":    {name: "GreenMail", vendor: "GreenMail", kind: sink},
	"inbucket":     {name: "Inbucket", vendor: "Inbucket", kind: sink},
	"mailslurper":  {name: "MailSlurper", vendor: "MailSlurper", kind: sink},
	"fakesmtp":     {name: "FakeSMTP", vendor: "Nilhcem", kind: sink},
	"mailtrap":     {name: "Mailtrap", vendor: "Railsware", kind: sink},
	"smtp-sink":    {name: "smtp-sink", vendor: "Postfix", kind: sink},
	"inetsim":      {name: "INetSim", vendor: "INetSim", kind: sink, speaks: []string{"postfix"}},
	"mailoney":     {name: "Mailoney", vendor: "Mailoney", kind: sink, speaks: []string{"exim", "postfix"}},
	"heralding":    {name: "Heralding", vendor: "Heralding", kind: sink, speaks: []string{exchange, "aiosmtpd"}},
	"collaborator": {name: "Burp Collaborator", vendor: "PortSwigger", kind: sink},
}

// rules in order of preference: of two as sure, the first is believed. Within a product the one that tells more comes
// first.
var rules = []rule{
	// Greetings. ESMTP, names and versions are as the sources of the products write them, or as seen.
	{
		id: "exchange-online", at: greeting, is: "exchange-online", sure: 97,
		re: `(?i)^\S+\.(?:outlook|office365|exchangelabs)\.(?:com|cn|de|us) Microsoft ESMTP MAIL Service`,
	},
	{
		id: "exchange-5", at: greeting, is: exchange, sure: 96,
		re: `Microsoft Exchange Internet Mail Service (?P<version>\d[\d.]{2,20})`,
	},
	{id: "heralding", at: greeting, is: "heralding", sure: 93, // Exchange writes Service
		re: `^(?:\S+ )?Microsoft ESMTP MAIL service ready$`},
	{
		id: "exchange", at: greeting, is: exchange, sure: 92,
		re: `(?i)^(?:\S+ +)?Microsoft ESMTP MAIL Service ready(?: at |$)`,
	},
	{
		id: "exchange-build", at: greeting, is: exchange, sure: 88,
		re: `(?i)\bExchange(?: Server)?(?: 20\d\d)?,? (?:Version:? |\(?build )?(?P<version>(?:8|14|15)\.\d{1,2}\.\d{2,5}\.\d{1,5})`,
	},
	{
		id: "exchange-year", at: greeting, is: exchange, sure: 85,
		re: `(?i)\b(?:MS|Microsoft|ESMTP) Exchange(?: Server)? (?P<version>20(?:00|03|07|10|13|16|19))\b`,
	},
	{
		id: "exchange-named", at: greeting, is: exchange, sure: 75,
		re: `(?i)\bESMTP (?:MS |Microsoft )?Exchange(?: Server)?(?:\s|$)`,
	},
	{
		id: "iis", at: greeting, is: iis, sure: 92,
		re: `(?i)^(?:\S+ +)?Microsoft ESMTP MAIL Service, Version: (?P<version>\d{1,2}(?:\.\d{1,6}){1,4})`,
	},
	{
		id: "iis-nt4", at: greeting, is: iis, sure: 92, os: "Windows NT 4.0",
		re: `^(?:\S+ +)?Microsoft SMTP MAIL ready at .*Version: (?P<version>\d(?:\.\d{1,6}){1,4})`,
	},

	{id: "mailoney-exim", at: greeting, is: "mailoney", sure: 96, // a build date that never changes
		re: `^\S+ ESMTP Exim 4\.\d\d #1 Thu, 29 Jul 2010 05:13:48 -0700$`},
	{
		id: "mailoney", at: greeting, is: "mailoney", sure: 90,
		re: `^schizo-open-relay ESMTP`,
	},
	{
		id: "exim-version", at: greeting, is: "exim", sure: 95,
		re: `(?i)(?:^|[\s(])Exim (?P<version>\d\.\d{1,3}(?:\.\d{1,3})*(?:_\w{1,8})?)(?:[^\w.](?:\s*(?P<os>Debian|Ubuntu)\b)?|$)`,
	},
	{
		id: "exim", at: greeting, is: "exim", sure: 88,
		re: `(?i)(?:\bE?SMTP \(?Exim(?:[\s)]|$)|^(?:\S+ )?Exim E?SMTP\b)`,
	},

	{
		id: "mailinabox", at: greeting, is: "mailinabox", sure: 92,
		re: `(?i)Mail-in-a-Box \((?P<os>Ubuntu)/Postfix`,
	},
	{
		id: "mailcow", at: greeting, is: "mailcow", sure: 92,
		re: `(?i)\bESMTP Postcow\b`,
	},
	{
		id: "pmg", at: greeting, is: "pmg", sure: 92,
		re: `\bESMTP Proxmox\b`,
	},
	{
		id: "zimbra", at: greeting, is: "zimbra", sure: 93,
		re: `(?:^|\s)Zimbra (?:LMTP |ESMTP )?(?:server )?ready\b`,
	},
	{
		id: "viruswall", at: greeting, is: "viruswall", sure: 94,
		re: `\bInterScan (?:VirusWall(?: NT)? ESMTP|Version) (?P<version>\d[\w.-]{0,20})`,
	},
	{
		id: "imss-version", at: greeting, is: "imss", sure: 95,
		re: `\bInterScan Messaging Security Suite, Version: (?P<version>\d[\w.-]{0,20})`,
	},
	{
		id: "imss", at: greeting, is: "imss", sure: 90,
		re: `(?i)^TrendMicro IMSS SMTP proxy|^imss\S* ESMTP ready|\[ESMTP Server\] service ready;`,
	},
	{
		id: "imsva", at: greeting, is: "imsva", sure: 93,
		re: `\bESMTP IMSVA\b`,
	},
	{
		id: "trend-esmtp", at: greeting, is: "imss", sure: 88,
		re: `^Trend Micro ESMTP (?P<version>\d[\w.-]{0,20}) ready`,
	},
	{
		id: "sophos", at: greeting, is: "sophos", sure: 95,
		re: `\bSophos Email Appliance(?: v(?P<version>\d[\d.]{0,20}))?`,
	},
	{
		id: "mailplus", at: greeting, is: "mailplus", sure: 75,
		re: `\bSynology MailPlus\b`,
	},
	{
		id: "postfix-version", at: greeting, is: "postfix", sure: 95,
		re: `(?i)(?:^|[\s(])Postfix[ -]\(?(?:Postfix-)?v?(?P<version>[23]\.\d{1,2}(?:\.\d{1,3})?(?:-(?:20\d{6}|RC\d))?)\b\)?(?:[^()]{0,40}\((?P<os>Debian/GNU|Ubuntu|Raspbian|Devuan|SuSE|openSUSE|Mandriva|Gentoo)[^)]{0,20}\))?`,
	},
	{
		id: "postfix-os", at: greeting, is: "postfix", sure: 94,
		re: `(?i)\bPostfix \((?P<os>Debian/GNU|Ubuntu|Raspbian|Devuan|SuSE|openSUSE|Mandriva|Gentoo)\b`,
	},
	{
		id: "postfix", at: greeting, is: "postfix", sure: 92,
		re: `(?i)(?:\bE?SMTP(?: mail)? Postfix(?:[\s(;,-]|$)|^(?:\S+ )?Postfix\b(?: \([^)]*\))?(?: ready\.?)?$)`,
	},

	{
		id: "sendmail-sun", at: greeting, is: "sendmail", sure: 96, os: "Solaris",
		re: `\bSendmail (?P<version>\d[\w.]{0,20})\+Sun\b`,
	},
	{
		id: "sendmail-smi", at: greeting, is: "sendmail", sure: 96, os: "Solaris",
		re: `\bSendmail (?P<version>SMI-[\w.]{1,12})/SMI-`,
	},
	{
		id: "sendmail-aix", at: greeting, is: "sendmail", sure: 96,
		re: `\bSendmail (?P<os>AIX ?\d[\d.]{0,8})/(?:UCB )?(?P<version>\d[\w.]{0,20})`,
	},
	{
		id: "sendmail-hpux", at: greeting, is: "sendmail", sure: 96, os: "HP-UX",
		re: `\bSendmail @\(#\)Sendmail version (?P<version>\d[\d.]{0,20})(?:.{1,60}:: ?(?P<os>HP-UX ?\d[\d.]{0,8}))?`,
	},
	{
		id: "sendmail-hp", at: greeting, is: "sendmail", sure: 96, os: "HP-UX",
		re: `\bSendmail (?P<version>\d[\w.]{0,20}) \(PHNE_\d+\)`,
	},
	{
		id: "sendmail-sgi", at: greeting, is: "sendmail", sure: 96, os: "IRIX",
		re: `\bSendmail SGI-(?P<version>\d[\w.]{0,20})`,
	},
	{
		id: "sendmail-debian", at: greeting, is: "sendmail", sure: 96,
		re: `\bSendmail (?P<version>\d\.\d{1,2}(?:\.\w{1,12})*)/[\w.]{1,24}/Debian-[\w.+~-]{1,16}[+~](?P<os>deb\d{1,2})u\d`,
	},
	{
		id: "sendmail-version", at: greeting, is: "sendmail", sure: 95,
		re: `\bSendmail +(?:Switch-)?(?P<version>\d\.\d{1,2}(?:\.\w{1,12})*)(?:[+\w.]*/[\w.+-]{1,24}(?:/(?P<os>Debian|SuSE|RHEL)\b)?)?(?:[^\w.]|$)`,
	},
	{
		id: "sendmail", at: greeting, is: "sendmail", sure: 80,
		re: `\bE?SMTP Sendmail ?(?:[;.]|[Rr]eady|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),|$)|^(?:\S+ )?Sendmail (?:E?SMTP )?[Rr]eady`,
	},
	{
		id: "sendmail-closed", at: greeting, is: "sendmail", sure: 72,
		re: `^\S+ ESMTP not accepting messages$`,
	},

	{
		id: "indimail", at: greeting, is: "indimail", sure: 94,
		re: `\(NO UCE\) ESMTP IndiMail(?: (?P<version>\d[\d.]{0,12}))?`,
	},
	{
		id: "sqmail", at: greeting, is: "sqmail", sure: 90,
		re: `(?i)(?:^|\s)s/qmail(?:[ -](?P<version>\d[\d.]{0,12}))?(?:\s|$)`,
	},
	{
		id: "notqmail", at: greeting, is: "notqmail", sure: 90,
		re: `(?i)(?:^|\s)notqmail(?:[ -](?P<version>\d[\d.]{0,12}))?(?:\s|$)`,
	},
	{
		id: "netqmail", at: greeting, is: "netqmail", sure: 90,
		re: `(?i)(?:^|\s)netqmail(?:[ -](?P<version>\d[\d.]{0,12}))?(?:\s|$)`,
	},
	{
		id: "qmail", at: greeting, is: "qmail", sure: 85,
		re: `(?i)(?:^|\s)qmail(?:[ -](?P<version>\d[\d.]{0,12}))?(?:\s|$)`,
	},
	{
		id: "domino", at: greeting, is: "domino", sure: 96,
		re: `\(HCL Domino (?:Release|Build|Version\w?) (?P<version>V?\d[\w.]{0,16}(?: ?FP\d{1,2})?)`,
	},
	{
		id: "domino-ibm", at: greeting, is: "domino-ibm", sure: 96,
		re: `\(IBM Domino (?:Release|Build|Version\w?) (?P<version>V?\d[\w.]{0,16}(?: ?FP\d{1,2})?)`,
	},
	{
		id: "domino-lotus", at: greeting, is: "domino-lotus", sure: 96,
		re: `\(Lotus Domino (?:Release |Build |Version\w? )?(?P<version>V?\d[\w.]{0,16}(?: ?FP\d{1,2})?)`,
	},
	{
		id: "domino-4", at: greeting, is: "domino-lotus", sure: 92,
		re: `\bLotus SMTP MTA Service Ready|^Lotus Notes ESMTP Server`,
	},
	{
		id: "opensmtpd", at: greeting, is: "opensmtpd", sure: 95,
		re: `\bESMTP OpenSMTPD\b`,
	},
	{
		id: "courier", at: greeting, is: "courier", sure: 95,
		re: `\bCourier Mail Server (?P<version>\d[\w.]{0,16})`,
	},
	{
		id: "hmailserver", at: greeting, is: "hmailserver", sure: 94,
		re: `(?i)(?:^|\s)hMailServer(?: ESMTP)?(?: v?(?P<version>\d[\w.-]{0,20}))?(?:\s|$)`,
	},
	{
		id: "mdaemon", at: greeting, is: "mdaemon", sure: 95,
		re: `(?:\bESMTP |\(| )MDaemon v?(?P<version>\d{1,2}\.\d[\w.]{0,16})`,
	},
	{
		id: "mailenable", at: greeting, is: "mailenable", sure: 95,
		re: `\bMail ?Enable (?:SMTP )?Service, Version: (?P<version>\d{1,3}(?:\.\d{1,4}){0,3})`,
	},
	{
		id: "haraka", at: greeting, is: "haraka", sure: 95,
		re: `\bESMTP Haraka(?:[/ ](?P<version>\d[\w.-]{0,20}))?`,
	},
	{id: "postal", at: greeting, is: "postal", sure: 95, // a trace id follows, no version
		re: `\bESMTP Postal/\w+`},
	{
		id: "stalwart", at: greeting, is: "stalwart", sure: 95,
		re: `(?:^|\s)Stalwart (?:E?SMTP|LMTP)\b`,
	},
	{
		id: "maddy", at: greeting, is: "maddy", sure: 90,
		re: `(?i)\bE?SMTP maddy\b`,
	},
	{
		id: "mox", at: greeting, is: "mox", sure: 95,
		re: `\bESMTP mox (?P<version>v?[\w.+-]{1,40})`,
	},
	{
		id: "james-version", at: greeting, is: "james", sure: 95,
		re: `\(JAMES SMTP Server (?P<version>\d[\w.-]{0,20})\)`,
	},
	{
		id: "james", at: greeting, is: "james", sure: 93,
		re: `\(JAMES [SL]MTP (?:Protocol )?Server\b|\bApache JAMES awesome [SL]MTP Server`,
	},
	{
		id: "kerio-connect", at: greeting, is: "kerio-connect", sure: 96,
		re: `\bKerio Connect (?P<version>\d[\d.]{0,16})`,
	},
	{
		id: "kerio-server", at: greeting, is: "kerio-server", sure: 96,
		re: `\bKerio MailServer (?P<version>\d[\d.]{0,16})`,
	},
	{
		id: "axigen", at: greeting, is: "axigen", sure: 95,
		re: `(?i)\bAxigen(?: Mail Server)? ESMTP\b`,
	},
	{
		id: "communigate", at: greeting, is: "communigate", sure: 95,
		re: `\bCommuniGate(?: Pro)? (?P<version>\d[\w.]{0,16})`,
	},
	{
		id: "argosoft", at: greeting, is: "argosoft", sure: 95,
		re: `(?i)\bArGoSoft Mail Server\b[\w /.]{0,40}, Version (?P<version>\d[\d.]{0,12})`,
	},
	{
		id: "surgemail", at: greeting, is: "surgemail", sure: 95,
		re: `(?i)\bSurge(?:SMTP|mail) ?\(?Version (?P<version>\d[\w.-]{0,16})`,
	},
	{
		id: "icewarp", at: greeting, is: "icewarp", sure: 95,
		re: `(?i)\bE?SMTP (?:IceWarp|Merak) (?P<version>\d[\d.]{0,20})(?: (?P<os>RHEL\d{1,2}|UBUNTU\d{1,4}|DEB\d{1,2})\b)?`,
	},
	{
		id: "groupwise", at: greeting, is: "groupwise", sure: 95,
		re: `\bGroupWise (?:Internet Agent|SMTP/MIME Daemon) (?P<version>\d[\w.]{0,16})`,
	},
	{
		id: "imail", at: greeting, is: "imail", sure: 95,
		re: `\(IMail (?P<version>\d[\d.]{0,16}) `,
	},
	{
		id: "mercury", at: greeting, is: "mercury", sure: 95,
		re: `\bMercury(?:/32)? v?(?P<version>\d[\w.]{0,12}) (?:SMTP/)?ESMTP server ready`,
	},
	{
		id: "xmail", at: greeting, is: "xmail", sure: 93,
		re: `\bXMail (?:(?P<version>\d[\w.]{0,12}) )?(?:\([^)]*\) )?ESMTP\b`,
	},
	{
		id: "smartermail", at: greeting, is: "smartermail", sure: 93,
		re: `(?i)(?:^|\s)SmarterMail(?: (?:Enterprise |Professional )?v?(?P<version>\d[\d.]{0,12}))?(?:\s|$)`,
	},
	{
		id: "momentum", at: greeting, is: "momentum", sure: 96,
		re: `\bESMTP ecelerity (?P<version>\d[\d.]{0,20})`,
	},
	{
		id: "powermta", at: greeting, is: "powermta", sure: 96,
		re: `\(PowerMTA(?:\(TM\))? v(?P<version>\d[\w.]{0,12})\)`,
	},
	{
		id: "kumomta", at: greeting, is: "kumomta", sure: 93,
		re: `^\S+ KumoMTA(?:\s|$)`,
	},
	{
		id: "zmailer", at: greeting, is: "zmailer", sure: 95,
		re: `\bZMailer Server (?P<version>\d[\w.]{0,16})`,
	},
	{
		id: "masqmail", at: greeting, is: "masqmail", sure: 95,
		re: `\bMasqMail (?P<version>\d[\w.-]{0,16}) ESMTP`,
	},
	{
		id: "citadel", at: greeting, is: "citadel", sure: 93,
		re: `\bESMTP Citadel server ready`,
	},
	{
		id: "mailsite", at: greeting, is: "mailsite", sure: 94,
		re: `\bMailSite E?SMTP Receiver(?: Version (?P<version>\d[\d.]{0,16}))? Ready`,
	},
	{
		id: "ntmail", at: greeting, is: "ntmail", sure: 94,
		re: `\bNTMail \(v(?P<version>\d[\w.]{0,16})`,
	},
	{
		id: "slmail", at: greeting, is: "slmail", sure: 94,
		re: `(?i)\bSMTP Server SLMail v?(?P<version>\d[\d.]{0,16})`,
	},
	{
		id: "pmail", at: greeting, is: "pmail", sure: 94,
		re: `\bESMTP PMailServer(?: \[[^\]]{0,20}\])? (?P<version>\d[\d.]{0,8})`,
	},
	{
		id: "david", at: greeting, is: "david", sure: 94,
		re: `\bDavid(?:\.fx|\.zehn)? \((?P<version>\d{1,6})\) ESMTP Server \(Tobit`,
	},
	{
		id: "netscape", at: greeting, is: "netscape", sure: 94,
		re: `\(Netscape Messaging Server(?: - Version)? (?P<version>\d[\d.]{0,8})`,
	},
	{
		id: "postoffice", at: greeting, is: "postoffice", sure: 94,
		re: `(?i)\(post\.office v(?P<version>\d[\d.]{0,8})`,
	},
	{
		id: "eims", at: greeting, is: "eims", sure: 94,
		re: `\brunning Eudora Internet Mail Server (?P<version>\d[\d.]{0,8})`,
	},
	{
		id: "chasquid", at: greeting, is: "chasquid", sure: 95,
		re: `\bESMTP chasquid\b`,
	},
	{
		id: "msmtpd", at: greeting, is: "msmtpd", sure: 95,
		re: `\bESMTP msmtpd\b`,
	},
	{
		id: "qpsmtpd", at: greeting, is: "qpsmtpd", sure: 95,
		re: `\bESMTP qpsmtpd (?P<version>\d[\w.-]{0,16}) ready`,
	},
	{
		id: "qpsmtpd-words", at: greeting, is: "qpsmtpd", sure: 85,
		re: `send us your mail, but not your spam`,
	},
	{
		id: "dovecot", at: greeting, is: "dovecot", sure: 94,
		re: `^(?:[\w\[]\S* )?Dovecot(?: \((?P<os>[A-Za-z][\w /]{1,20})\))?(?: DA| LMTP)? ready\.?$`,
	},
	{
		id: "gmail", at: greeting, is: "gmail", sure: 96,
		re: `^\S+\.(?:google|gmail)\.com ESMTP \S+.* - gsmtp$`,
	},
	{
		id: "ses", at: greeting, is: "ses", sure: 95,
		re: `^inbound-smtp\.[\w-]+\.amazonaws\.com ESMTP\b|\bESMTP SimpleEmailService\b`,
	},
	{
		id: "ibm-i", at: greeting, is: "ibm-i", sure: 96, os: "IBM i",
		re: `\brunning IBM (?:AS/400|i5/OS|iSeries|i) SMTP (?P<version>V\dR\d(?:M\d)?)`,
	},
	{
		id: "ibm-zos", at: greeting, is: "ibm-zos", sure: 95, os: "z/OS",
		re: `\brunning IBM MVS SMTP CS (?P<version>V\w{2,8})`,
	},
	{
		id: "ibm-vm", at: greeting, is: "ibm-vm", sure: 95, os: "z/VM",
		re: `\brunning IBM VM SMTP (?:Level )?(?P<version>\w{2,8})`,
	},
	{
		id: "vms-tcpip", at: greeting, is: "vms-tcpip", sure: 95,
		re: `(?:^|\s)(?P<version>V\d[\w.-]{0,16}), (?P<os>OpenVMS V[\w.-]{1,12}(?: (?:Alpha|IA64|VAX|x86_64|x86-64))?) ready at `,
	},
	{
		id: "multinet", at: greeting, is: "multinet", sure: 94, os: "OpenVMS",
		re: `\bProcess Software ESMTP service V(?P<version>[\w.-]{1,16}) ready`,
	},
	{
		id: "pmdf", at: greeting, is: "pmdf", sure: 94,
		re: `-- Server ESMTP \(PMDF V(?P<version>[\w.-]{1,16})`,
	},

	{
		id: "barracuda-cloud", at: greeting, is: "barracuda-cloud", sure: 95,
		re: `(?i)^\S+\.barracudanetworks\.com E?SMTP\b`,
	},
	{id: "barracuda", at: greeting, is: "barracuda", sure: 90, // a hash of 32 digits that changes
		re: `^\S+ ESMTP \([0-9a-fA-F]{32}\)$`},
	{
		id: "barracuda-refusal", at: greeting, is: "barracuda", sure: 80,
		re: `^SPAM, we hates it\.$|blocked using Barracuda Reputation`,
	},
	{
		id: "iphmx", at: greeting, is: "ironport", sure: 95,
		re: `(?i)^\S+\.iphmx\.com E?SMTP\b`,
	},
	{
		id: "asyncos", at: greeting, is: "ironport", sure: 95,
		re: `\bAsyncOS\b`,
	},
	{
		id: "ironport-refusal", at: greeting, is: "ironport", sure: 90,
		re: `due to the sending MTA's poor reputation`,
	},
	{
		id: "fortimail", at: greeting, is: "fortimail", sure: 88,
		re: `^\S+ ESMTP Smtpd; (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), `,
	},
	{
		id: "proofpoint", at: greeting, is: "proofpoint", sure: 96,
		re: `(?i)^\S+\.(?:pphosted|ppe-hosted|pphosted-eu)\.com E?SMTP\b|\bESMTP mfa-m\d+$`,
	},
	{
		id: "mimecast", at: greeting, is: "mimecast", sure: 96,
		re: `(?i)^\S+\.(?:mimecast|mimecast-offshore)\.(?:com|co\.za) E?SMTP\b`,
	},
	{
		id: "messagelabs", at: greeting, is: "messagelabs", sure: 95,
		re: `(?i)^\S+\.(?:messagelabs|eemsg)\.(?:com|net) E?SMTP\b`,
	},
	{id: "pix", at: greeting, is: "pix", sure: 92, // the inspection overwrites the greeting but for 2, 0 and blanks
		re: `^[*02 ]*\*{6,}[*02 ]*$`},
	{
		id: "smg", at: greeting, is: "smg", sure: 95,
		re: `\bESMTP Symantec (?:Messaging|Brightmail) Gateway\b`,
	},
	{
		id: "smg-refusal", at: greeting, is: "smg", sure: 75,
		re: `^(?:5\.7\.1 )?You are not allowed to connect\.$`,
	},
	{
		id: "sms-smtp", at: greeting, is: "sms-smtp", sure: 94,
		re: `\bSymantec Mail Security\b`,
	},
	{
		id: "sonicwall", at: greeting, is: "sonicwall", sure: 95,
		re: `(?i)\bESMTP SonicWall \((?P<version>\d[\d.]{0,20})\)`,
	},
	{
		id: "sonicwall-refusal", at: greeting, is: "sonicwall", sure: 70,
		re: `^No SMTPd here$`,
	},
	{
		id: "firewall-1", at: greeting, is: "firewall-1", sure: 95,
		re: `^CheckPoint FireWall-1 secure E?SMTP server`,
	},
	{
		id: "cellopoint", at: greeting, is: "cellopoint", sure: 95,
		re: `\bCellopoint E-mail Firewall v(?P<version>\d[\d.]{0,12})`,
	},
	{
		id: "mailsweeper", at: greeting, is: "mailsweeper", sure: 94,
		re: `\bMAILsweeper E?SMTP Receiver Version (?P<version>\d[\d.]{0,12})`,
	},
	{
		id: "webshield", at: greeting, is: "webshield", sure: 93,
		re: `\bWebShield (?:SMTP V|ASaP v)(?P<version>\d[\d.]{0,12})`,
	},
	{
		id: "mailmarshal", at: greeting, is: "mailmarshal", sure: 95,
		re: `\bESMTP MailMarshal \(v(?P<version>\d[\d.]{0,16})\)`,
	},
	{
		id: "mirapoint", at: greeting, is: "mirapoint", sure: 94,
		re: `\bESMTP Mirapoint (?P<version>\d[\w.-]{0,16})`,
	},
	{
		id: "unity", at: greeting, is: "unity", sure: 93,
		re: `\bUnityMailer\b`,
	},
	{
		id: "proxsmtp", at: greeting, is: "proxsmtp", sure: 92,
		re: `^smtp\.passthru\b`,
	},
	{
		id: "spamd", at: greeting, is: "spamd", sure: 96,
		re: `\bspamd IP-based SPAM blocker`,
	},
	{
		id: "greyd", at: greeting, is: "greyd", sure: 96,
		re: `\bgreyd IP-based SPAM blocker`,
	},
	{
		id: "canon", at: greeting, is: "canon", sure: 93,
		re: `^Canon[\w.-]* ESMTP Ready$`,
	},
	{
		id: "konica", at: greeting, is: "konica", sure: 93,
		re: `^Service ready (?:KM\w{1,20}|M052) smtpd$`,
	},
	{
		id: "panasonic", at: greeting, is: "panasonic", sure: 85,
		re: `^DP-\d{3,4}\w?$`,
	},
	{id: "brother", at: greeting, is: "brother", sure: 88, // its own spelling
		re: `^Simple Mail Tranfer Service Ready$`},
	// The words of the next ones stand by themselves in a greeting, not in a host name: mail.ricoh.com is no printer.
	{
		id: "canon-named", at: greeting, is: "canon", sure: 70,
		re: `(?i)(?:^|\s)(?:Canon )?imageRUNNER(?:\s|$)`,
	},
	{
		id: "konica-named", at: greeting, is: "konica", sure: 70,
		re: `(?i)(?:^|\s)(?:Konica Minolta|bizhub)(?:\s|$)`,
	},
	{
		id: "ricoh", at: greeting, is: "ricoh", sure: 70,
		re: `(?i)(?:^|\s)(?:Ricoh|Aficio)(?:\s|$)`,
	},
	{
		id: "fuji-xerox", at: greeting, is: "fuji-xerox", sure: 70,
		re: `(?i)(?:^|\s)(?:Fuji ?Xerox|ApeosPort|DocuCentre|WorkCentre)(?:[\s-]|$)`,
	},
	{
		id: "kyocera", at: greeting, is: "kyocera", sure: 70,
		re: `(?i)(?:^|\s)(?:Kyocera|TASKalfa|ECOSYS)(?:\s|$)`,
	},
	{
		id: "sharp", at: greeting, is: "sharp", sure: 65,
		re: `(?:^|\s)SHARP [A-Z]{2}-\w+`,
	},
	{
		id: "hp", at: greeting, is: "hp", sure: 70,
		re: `(?i)(?:^|\s)(?:LaserJet|OfficeJet|PageWide)(?:\s|$)`,
	},
	{
		id: "epson", at: greeting, is: "epson", sure: 65,
		re: `(?:^|\s)EPSON (?:[A-Z]{2}-|WorkForce|Stylus|SureColor)`,
	},
	{
		id: "lexmark", at: greeting, is: "lexmark", sure: 68,
		re: `(?i)(?:^|\s)Lexmark(?:\s|$)`,
	},
	{
		id: "oki", at: greeting, is: "oki", sure: 65,
		re: `(?:^|\s)OKI(?:DATA)?[ -](?:MC|MB|ES|C|B)\d{3}`,
	},
	{
		id: "toshiba", at: greeting, is: "toshiba", sure: 70,
		re: `(?i)(?:^|\s)e-STUDIO ?\d{3}`,
	},
	{
		id: "xerox", at: greeting, is: "xerox", sure: 68,
		re: `(?i)(?:^|\s)(?:Xerox|VersaLink|AltaLink|ColorQube)(?:\s|$)`,
	},
	{
		id: "fujitsu", at: greeting, is: "fujitsu", sure: 65,
		re: `(?i)(?:^|\s)(?:ScanSnap|fi-\d{4}\w{0,4})(?:\s|$)`,
	},
	{
		id: "qnap", at: greeting, is: "qnap", sure: 68,
		re: `(?i)(?:^|\s)(?:QNAP|Turbo ?NAS)(?:\s|$)`,
	},
	{
		id: "synology", at: greeting, is: "synology", sure: 65,
		re: `(?i)(?:^|\s)(?:DiskStation|RackStation)(?:\s|$)`,
	},
	{
		id: "netgear", at: greeting, is: "netgear", sure: 68,
		re: `(?i)(?:^|\s)ReadyNAS(?:\s|$)`,
	},
	{
		id: "buffalo", at: greeting, is: "buffalo", sure: 68,
		re: `(?i)(?:^|\s)(?:TeraStation|LinkStation)(?:\s|$)`,
	},
	{
		id: "apc", at: greeting, is: "apc", sure: 68,
		re: `(?i)(?:^|\s)(?:Smart-UPS|PowerChute|APC Network Management Card)(?:\s|$)`,
	},
	{
		id: "vmware-auth", at: greeting, is: "vmware-auth", sure: 97,
		re: `^VMware Authentication Daemon Version (?P<version>\d[\d.]{0,8})`,
	},

	{
		id: "aiosmtpd", at: greeting, is: "aiosmtpd", sure: 95,
		re: `(?:^|\s)Python SMTP (?P<version>\d[\w.]{0,12})$`,
	},
	{
		id: "smtpd.py", at: greeting, is: "smtpd.py", sure: 95,
		re: `(?:^|\s)Python SMTP proxy version (?P<version>\d[\d.]{0,8})`,
	},
	{
		id: "twisted", at: greeting, is: "twisted", sure: 90,
		re: `\bNO UCE NO UBE NO RELAY PROBES ESMTP$`,
	},
	{
		id: "fakesmtp", at: greeting, is: "fakesmtp", sure: 93,
		re: `\bESMTP FakeSMTP(?: (?P<version>\d[\w.]{0,12}))?`,
	},
	{
		id: "subetha", at: greeting, is: "subetha", sure: 95,
		re: `\bESMTP SubEthaSMTP (?:(?P<version>\d[\w.-]{0,16})|null)`,
	},
	{
		id: "eventmachine", at: greeting, is: "eventmachine", sure: 93,
		re: `^EventMachine SMTP Server$`,
	},
	{
		id: "guerrilla", at: greeting, is: "guerrilla", sure: 95,
		re: `\bSMTP Guerrilla\((?:v(?P<version>\d[\w.-]{0,30})|[\w.-]{1,30})\) #\d+ \(\d+\) `,
	},
	{
		id: "mailhog", at: greeting, is: "mailhog", sure: 96,
		re: `\bESMTP MailHog\b`,
	},
	{
		id: "mailpit", at: greeting, is: "mailpit", sure: 96,
		re: `(?:^|\s)Mailpit ESMTP Service\b`,
	},
	{
		id: "smtp4dev", at: greeting, is: "smtp4dev", sure: 96,
		re: `(?:^|\s)smtp4dev ready$`,
	},
	{
		id: "papercut", at: greeting, is: "papercut", sure: 95,
		re: `(?:^|\s)Papercut[\w.-]{0,20}(?: SMTP)?(?: v(?P<version>\d[\d.]{0,16}))?(?: E?SMTP)? [Rr]eady`,
	},
	{
		id: "smtpserver", at: greeting, is: "smtpserver", sure: 78,
		re: `^\S+ v(?P<version>\d{1,3}(?:\.\d{1,5}){3}) ESMTP ready$`,
	},
	{
		id: "greenmail", at: greeting, is: "greenmail", sure: 96,
		re: `\bGreenMail SMTP Service(?: v(?P<version>\d[\w.-]{0,20}))?`,
	},
	{
		id: "inbucket", at: greeting, is: "inbucket", sure: 96,
		re: `(?:^|\s)Inbucket SMTP ready`,
	},
	{
		id: "mailslurper", at: greeting, is: "mailslurper", sure: 96,
		re: `^Welcome to MailSlurper`,
	},
	{
		id: "mailtrap", at: greeting, is: "mailtrap", sure: 92,
		re: `^\S+\.mailtrap\.(?:io|live) ESMTP\b`,
	},
	{
		id: "smtp-sink", at: greeting, is: "smtp-sink", sure: 96,
		re: `^smtp-sink ESMTP$`,
	},
	{
		id: "inetsim", at: greeting, is: "inetsim", sure: 96,
		re: `(?i)\bINetSim Mail Service ready`,
	},
	{
		id: "collaborator", at: greeting, is: "collaborator", sure: 95,
		re: `^Burp Collaborator Server ready`,
	},
	{id: "go-smtp", at: greeting, is: "go-smtp", sure: 62, // the words are nobody's own
		re: `^\S+ (?:ESMTP|LMTP) Service Ready$`},

	// EHLO.
	{
		id: "exchange-anonymoustls", at: ehlo, is: exchange, sure: 88,
		re: `^X-ANONYMOUSTLS$`,
	},
	{
		id: "exchange-xshadow", at: ehlo, is: exchange, sure: 86, version: "2010",
		re: `^XSHADOW$`,
	},
	{id: "exchange-xshadowrequest", at: ehlo, is: exchange, sure: 86, // 2013 on
		re: `^XSHADOWREQUEST$`},
	{id: "exchange-xexch50", at: ehlo, is: exchange, sure: 85, // 2000 to 2010
		re: `^XEXCH50\b`},
	{
		id: "exchange-x-exps", at: ehlo, is: exchange, sure: 82,
		re: `^X-EXPS\b`,
	},
	{id: "exchange-xrdst", at: ehlo, is: exchange, sure: 82, // 2010 on
		re: `^XRDST$`},
	{
		id: "exchange-x-link2state", at: ehlo, is: exchange, sure: 80,
		re: `^X-LINK2STATE$`,
	},
	{
		id: "exchange-hello", at: ehlo, is: iis, sure: 40,
		re: `^\S+ Hello \[[0-9A-Fa-f.:]+\]$`,
	},
	{
		id: "courier-xverp", at: ehlo, is: "courier", sure: 92,
		re: `^XVERP=Courier$`,
	},
	{
		id: "courier-xexdata", at: ehlo, is: "courier", sure: 85,
		re: `^XEXDATA$|^XSECURITY=NONE,STARTTLS$`,
	},
	{
		id: "courier-ok", at: ehlo, is: "courier", sure: 45,
		re: `^\S+ Ok\.$`,
	},
	{
		id: "postfix-xforward", at: ehlo, is: "postfix", sure: 70,
		re: `^XFORWARD NAME ADDR\b`,
	},
	{
		id: "postfix-xclient", at: ehlo, is: "postfix", sure: 60,
		re: `^XCLIENT NAME ADDR\b`,
	},
	{
		id: "exim-pipeconnect", at: ehlo, is: "exim", sure: 85,
		re: `^(?:X_PIPE_CONNECT|PIPE_?CONNECT)$`,
	},
	{
		id: "exim-prdr", at: ehlo, is: "exim", sure: 65,
		re: `^PRDR$`,
	},
	{
		id: "exim-hello", at: ehlo, is: "exim", sure: 45,
		re: `^\S+ Hello [^\s,;\[]\S*(?: at \S+)? \[[0-9A-Fa-f.:]+\]$`,
	},
	{
		id: "haraka-hello", at: ehlo, is: "haraka", sure: 93,
		re: `, Haraka is at your service\.?$`,
	},
	{
		id: "stalwart-hello", at: ehlo, is: "stalwart", sure: 90,
		re: `^\S+ you had me at (?:EHLO|HELO|LHLO)$`,
	},
	{
		id: "mailenable-hello", at: ehlo, is: "mailenable", sure: 90,
		re: `, this server offers \d+ extensions$`,
	},
	{
		id: "axigen-hello", at: ehlo, is: "axigen", sure: 93,
		re: `^\S+ Axigen ESMTP hello$`,
	},
	{
		id: "domino-hello", at: ehlo, is: "domino", sure: 78,
		re: `^\S+ Hello \S+ \(\[[0-9A-Fa-f.:]+\]\), pleased to meet you$`,
	},
	{id: "james-hello", at: ehlo, is: "james", sure: 78, // its own unmatched parenthesis
		re: `^\S+ Hello [^(]+ \[[0-9A-Fa-f.:]+\]\)$`},
	{
		id: "surgemail-hello", at: ehlo, is: "surgemail", sure: 60,
		re: `^\S+\. Hello \S+ \(\d{1,3}(?:\.\d{1,3}){3}\)$`,
	},
	{
		id: "imss-hello", at: ehlo, is: "imss", sure: 82,
		re: `^\S+ supports the following ESMTP extensions:$`,
	},
	{
		id: "qpsmtpd-hello", at: ehlo, is: "qpsmtpd", sure: 82,
		re: `^\S+ Hi \S+ \[[0-9A-Fa-f.:]+\]`,
	},
	{
		id: "gmail-hello", at: ehlo, is: "gmail", sure: 85,
		re: `^\S+\.(?:google|gmail)\.com at your service, \[`,
	},
	{
		id: "smtp-server-hello", at: ehlo, is: "smtp-server", sure: 85,
		re: `^\S+ Nice to meet you, `,
	},
	{
		id: "smtp4dev-hello", at: ehlo, is: "smtp4dev", sure: 80,
		re: `^Nice to meet you\.$`,
	},
	{
		id: "smtpserver-hello", at: ehlo, is: "smtpserver", sure: 85,
		re: `^(?:\S+ )?Hello \S+, haven't we met before\?$`,
	},
	{
		id: "eventmachine-hello", at: ehlo, is: "eventmachine", sure: 93,
		re: `^Ok EventMachine SMTP Server$`,
	},
	{
		id: "guerrilla-hello", at: ehlo, is: "guerrilla", sure: 46,
		re: `^\S+ Hello$`,
	},
	{
		id: "indimail-auth", at: ehlo, is: "indimail", sure: 82,
		re: `^AUTH .*\bCRAM-RIPEMD\b`,
	},
	{id: "mailpit-hello", at: ehlo, is: "mailpit", sure: 48, // its library is used by others
		re: `^\S+ greets \S+$`},
	{
		id: "go-smtp-hello", at: ehlo, is: "go-smtp", sure: 45,
		re: `^Hello \S+$`,
	},
	{
		id: "proxsmtp-hello", at: ehlo, is: "proxsmtp", sure: 90,
		re: `^smtp\.passthru$|^XFILTERED$`,
	},
	{id: "pix-hello", at: ehlo, is: "pix", sure: 85, // keywords overwritten, as STARTTLS to XXXXXXXA
		re: `^X{6,}[A-Z]?$`},
	{id: "sendmail-hello", at: ehlo, is: "sendmail", sure: 45, // OpenSMTPD, MDaemon, IceWarp and others say it too
		re: `^\S+ Hello .*\[[0-9A-Fa-f.:]+\](?: \(may be forged\))?, pleased to meet you$`},

	// HELP.
	{
		id: "sendmail-help-aix", at: help, is: "sendmail", sure: 94,
		re: `(?i)This is sendmail version (?P<os>AIX ?\d[\d.]{0,8})/(?P<version>\d[\w.]{0,20})`,
	},
	{
		id: "sendmail-help", at: help, is: "sendmail", sure: 92,
		re: `(?i)^(?:2\.0\.0 )?This is sendmail(?: version (?P<version>\d[\w.]{0,20}))?`,
	},
	{
		id: "exim-help", at: help, is: "exim", sure: 72,
		re: `^Commands supported:$`,
	},
	{
		id: "notqmail-help", at: help, is: "notqmail", sure: 95,
		re: `(?i)^notqmail home page: `,
	},
	{
		id: "netqmail-help", at: help, is: "netqmail", sure: 95,
		re: `(?i)^netqmail home page: `,
	},
	{
		id: "qmail-help-gentoo", at: help, is: "qmail", sure: 95, os: "Gentoo",
		re: `^Gentoo Linux qmail-(?P<version>\d[\w.-]{0,12})`,
	},
	{
		id: "qmail-help", at: help, is: "qmail", sure: 94,
		re: `(?i)^qmail(?:-ldap patch)? home page: `,
	},
	{
		id: "opensmtpd-help", at: help, is: "opensmtpd", sure: 95,
		re: `^(?:2\.0\.0 )?This is OpenSMTPD\b|please contact bugs@openbsd\.org`,
	},
	{
		id: "hmailserver-help", at: help, is: "hmailserver", sure: 90,
		re: `^DATA HELO EHLO MAIL NOOP QUIT RCPT RSET SAML TURN VRFY$`,
	},
	{
		id: "mailenable-help", at: help, is: "mailenable", sure: 88,
		re: `^Help:->Supported Commands: HELO,EHLO`,
	},
	{
		id: "argosoft-help", at: help, is: "argosoft", sure: 95,
		re: `^This is ArGoSoft Mail Server\b[\w /.]{0,40}, Version (?P<version>\d[\d.]{0,12})`,
	},
	{
		id: "domino-help", at: help, is: "domino", sure: 72,
		re: `^Enter one of the following commands:$`,
	},
	{
		id: "ironport-help", at: help, is: "ironport", sure: 82,
		re: `^The following commands are recognized$`,
	},
	{
		id: "ibm-i-help", at: help, is: "ibm-i", sure: 95, os: "IBM i",
		re: `\bis running the OS/400 operating system`,
	},
	{
		id: "exchange-help", at: help, is: exchange, sure: 70,
		re: `^HELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH BDAT(?: VRFY)?$`,
	},
	{
		id: "iis-help", at: help, is: iis, sure: 78,
		re: `^This server supports the following commands:$`,
	},
	{
		id: "sqmail-help", at: help, is: "sqmail", sure: 95,
		re: `(?i)^s/?qmail home page: |fehcom\.de/sqmail`,
	},
	{
		id: "qmail-help-linuxmagic", at: help, is: "qmail", sure: 95,
		re: `(?i)LinuxMagic Support http`,
	},
	{
		id: "haraka-help", at: help, is: "haraka", sure: 45,
		re: `^Not implemented$`,
	},
	{
		id: "communigate-help", at: help, is: "communigate", sure: 92,
		re: `^Copyright \(c\) 1995-20\d\d, (?:Stalker Software|CommuniGate Systems)`,
	},
	{
		id: "kerio-help", at: help, is: "kerio-connect", sure: 76,
		re: `^(?:2\.0\.0 )?Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY QUIT(?: STARTTLS)?$`,
	},
	{
		id: "imail-help", at: help, is: "imail", sure: 88,
		re: `^DATA EXPN HELO MAIL NOOP QUIT RCPT RSET SAML SEND SOML TURN VRFY$`,
	},
	{
		id: "mercury-help", at: help, is: "mercury", sure: 84,
		re: `^Mail server account is '[^']{1,60}'\.$`,
	},
	{
		id: "powermta-help", at: help, is: "powermta", sure: 82,
		re: `^2\.0\.0 try reading the RFCs: `,
	},
	{
		id: "zmailer-help", at: help, is: "zmailer", sure: 90,
		re: `zmhacks@nic\.funet\.fi`,
	},
	{
		id: "subetha-help", at: help, is: "subetha", sure: 95,
		re: `^This is the SubEthaSMTP (?P<version>\d[\w.-]{0,16}) server`,
	},
	{
		id: "icewarp-help", at: help, is: "icewarp", sure: 94,
		re: `(?i)^(?:2\.0\.0 )?This is Merak (?P<version>\d[\d.]{0,16})|bugs@(?:merakmail|icewarp)\.com`,
	},
	{
		id: "surgemail-help", at: help, is: "surgemail", sure: 55,
		re: `^For information on a specific command, type "HELP <command>"\.$`,
	},
	{
		id: "messagelabs-help", at: help, is: "messagelabs", sure: 90,
		re: `^See https?://www\.messagelabs\.com/support`,
	},
	{
		id: "gmail-help", at: help, is: "gmail", sure: 85,
		re: `www\.google\.com/search.*RFC\+(?:2821|5321)`,
	},
	{
		id: "ibm-i-help-forwarding", at: help, is: "ibm-i", sure: 80, os: "IBM i",
		re: `^Mail forwarding handled by this server\.$`,
	},
	{
		id: "qpsmtpd-help", at: help, is: "qpsmtpd", sure: 95,
		re: `^This is qpsmtpd\b|smtpd\.develooper\.com`,
	},

	// Refusals. First those that only one product is known to write.
	{
		id: "postfix-not-recognized", at: refusal, is: "postfix", sure: 80,
		re: `^50[02] 5\.5\.[12] Error: (?:command not (?:recognized|implemented)|bad syntax)`,
	},
	{
		id: "postfix-error", at: refusal, is: "postfix", sure: 75,
		re: `^503 5\.5\.[14] Error: |^421 4\.\d\.\d \S+ Error: `,
	},
	{
		id: "postfix-relay", at: refusal, is: "postfix", sure: 74,
		re: `^[45]5\d [45]\.7\.1 <[^>]*>: Relay access denied`,
	},
	{
		id: "postfix-rejected", at: refusal, is: "postfix", sure: 72,
		re: `^[45]\d\d [45]\.\d\.\d{1,2} <[^>]*>: (?:Helo command|Sender address|Recipient address|Client host) rejected: `,
	},
	{
		id: "postfix-postscreen", at: refusal, is: "postfix", sure: 70,
		re: `^5(?:21|50) 5\.(?:5\.1 Protocol error$|7\.1 Service unavailable; client \[)`,
	},
	{
		id: "postfix-syntax", at: refusal, is: "postfix", sure: 65,
		re: `^501 5\.5\.4 Syntax: (?:HELO|EHLO|MAIL FROM:|RCPT TO:|DATA|RSET)`,
	},

	{
		id: "exim-sync", at: refusal, is: "exim", sure: 88,
		re: `^554 SMTP synchronization error`,
	},
	{
		id: "exim-helo-syntax", at: refusal, is: "exim", sure: 85,
		re: `^501 Syntactically invalid \w+ argument\(s\)`,
	},
	{
		id: "exim-address", at: refusal, is: "exim", sure: 82,
		re: `^501 \S*:? ?(?:(?:sender|recipient) address must contain a domain|domain literals not allowed|malformed address: )`,
	},
	{
		id: "exim-sequence", at: refusal, is: "exim", sure: 80,
		re: `^503[ -](?:sender not yet given|[Vv]alid RCPT command must precede |All RCPT commands were rejected with this error:)`,
	},
	{
		id: "exim-limit", at: refusal, is: "exim", sure: 78,
		re: `(?i)^(?:421|55[04]) Too many (?:nonmail commands|syntax or protocol errors|unrecognized commands)|^421 \S+: SMTP command timeout - closing connection`,
	},
	{
		id: "exim-relay", at: refusal, is: "exim", sure: 72,
		re: `^550[ -](?:<[^>]*>:? ?)?relay not permitted`,
	},
	{
		id: "exim-policy", at: refusal, is: "exim", sure: 62,
		re: `^550[ -](?:Administrative prohibition|Unrouteable address|Sender verify failed|Verification failed for <|rejected because \S+ is in a black list at )`,
	},

	{
		id: "qmail-rcpthosts", at: refusal, is: "qmail", sure: 85,
		re: `sorry, that domain isn't in my list of allowed rcpthosts`,
	},
	{
		id: "qmail-sequence", at: refusal, is: "qmail", sure: 85,
		re: `^50[23] (?:unimplemented|MAIL first|RCPT first) \(#5\.5\.1\)$`,
	},
	{
		id: "qmail-code", at: refusal, is: "qmail", sure: 52,
		re: `\(#[45]\.\d\.\d{1,2}\)$`,
	},

	{
		id: "exchange-tenant", at: refusal, is: "exchange-online", sure: 93,
		re: `5\.7\.64 TenantAttribution; |5\.7\.51 TenantInboundAttribution|5\.4\.1 Recipient address rejected: Access denied\. `,
	},
	{
		id: "exchange-relay", at: refusal, is: exchange, sure: 90,
		re: `5\.7\.54 SMTP; Unable to relay recipient in non-accepted domain`,
	},
	{
		id: "exchange-auth", at: refusal, is: exchange, sure: 88,
		re: `5\.7\.(?:1|57) (?:SMTP; )?Client was not authenticated`,
	},
	{
		id: "exchange-resolver", at: refusal, is: exchange, sure: 85,
		re: `\b(?:RESOLVER\.ADR\.|SMTPSEND\.|PRX\d )`,
	},
	{
		id: "exchange-unrecognized", at: refusal, is: exchange, sure: 80,
		re: `^500 5\.3\.3 Unrecognized command`,
	},
	{
		id: "exchange-relay-2007", at: refusal, is: exchange, sure: 75,
		re: `^550 5\.7\.1 Unable to relay$`,
	},
	{
		id: "exchange-sequence", at: refusal, is: exchange, sure: 70,
		re: `^503 5\.5\.2 (?:Need (?:mail|rcpt) command|Send hello first|Sender already specified)`,
	},
	{
		id: "iis-relay", at: refusal, is: iis, sure: 76,
		re: `^550 5\.7\.1 Unable to relay for `,
	},
	{
		id: "iis-sequence", at: refusal, is: iis, sure: 74,
		re: `^503 5\.5\.2 Need (?:Mail From:|Rcpt|Rcpt \(recipient\)) `,
	},

	{
		id: "sendmail-help-refused", at: refusal, is: "sendmail", sure: 95,
		re: `^50\d 5\.3\.0 Sendmail (?P<version>\d[\w.]{0,20}) -- HELP not implemented`,
	},
	{
		id: "sendmail-relay", at: refusal, is: "sendmail", sure: 82,
		re: `^550 5\.7\.1 \S+\.\.\. Relaying denied`,
	},
	{
		id: "sendmail-polite", at: refusal, is: "sendmail", sure: 82,
		re: `(?i)^503 5\.0\.0 (?:Polite people say HELO first|Need (?:MAIL|RCPT) )`,
	},
	{
		id: "sendmail-address", at: refusal, is: "sendmail", sure: 82,
		re: `^55[0-3] 5\.[15]\.\d \S+\.\.\. (?:Domain name required|User address required|Domain of sender address|Hostname required|User unknown)`,
	},
	{
		id: "sendmail-unrecognized", at: refusal, is: "sendmail", sure: 80,
		re: `^500 5\.5\.1 Command unrecognized: "`,
	},
	{
		id: "sendmail-helo", at: refusal, is: "sendmail", sure: 80,
		re: `^501 5\.0\.0 (?:HELO|EHLO|[Hh]elo|[Ee]hlo) requires domain address`,
	},

	{
		id: "opensmtpd-invalid", at: refusal, is: "opensmtpd", sure: 82,
		re: `^5\d\d 5\.5\.\d Invalid command(?: arguments?)?: `,
	},
	{
		id: "opensmtpd-recipient", at: refusal, is: "opensmtpd", sure: 68,
		re: `^550 Invalid recipient(?:: |$)`,
	},
	{
		id: "courier-relay", at: refusal, is: "courier", sure: 82,
		re: `^513 Relaying denied\.$`,
	},
	{
		id: "courier-command", at: refusal, is: "courier", sure: 82,
		re: `^502 (?:ESMTP command error|Polite people say HELO first)$|^554 Syntax error - your mail software violates RFC 821\.`,
	},
	{
		id: "courier-msa", at: refusal, is: "courier", sure: 80,
		re: `^400 STARTTLS is required first\.$`,
	},
	{
		id: "courier-sender", at: refusal, is: "courier", sure: 75,
		re: `^517[ -](?:Sender rejected|Domain does not exist|MX records for|RFC 1035 violation|Invalid domain, see)`,
	},
	{
		id: "hmailserver-auth", at: refusal, is: "hmailserver", sure: 72,
		re: `^530 SMTP authentication is required\.$`,
	},
	{
		id: "mailenable-auth", at: refusal, is: "mailenable", sure: 90,
		re: `^503 This mail server requires authentication (?:when|before) (?:attempting to send|sending)`,
	},
	{
		id: "maddy-id", at: refusal, is: "maddy", sure: 88,
		re: `\(msg ID = [0-9a-f]{6,32}\)$`,
	},
	{
		id: "haraka-early", at: refusal, is: "haraka", sure: 82,
		re: `^421 You talk too soon|Have a jolly good day`,
	},
	{
		id: "stalwart-relay", at: refusal, is: "stalwart", sure: 80,
		re: `^550 5\.1\.2 Relay not allowed\.$`,
	},
	{
		id: "chasquid-words", at: refusal, is: "chasquid", sure: 88,
		re: `5\.5\.1 (?:Invisible customers are not welcome|You feel disoriented for a moment|You are already wearing that)|5\.7\.9 Asmodeus demands `,
	},
	{
		id: "chasquid-relay", at: refusal, is: "chasquid", sure: 75,
		re: `^503 5\.7\.1 Relay not allowed$`,
	},
	{
		id: "james-relay", at: refusal, is: "james", sure: 85,
		re: `^550 (?:5\.7\.1|-) Requested action not taken: relaying denied`,
	},
	{
		id: "domino-relay", at: refusal, is: "domino", sure: 78,
		re: `^554 (?:5\.7\.1 )?Relay rejected for policy reasons`,
	},
	{
		id: "domino-argument", at: refusal, is: "domino", sure: 75,
		re: `^501 Command "(?:EHLO|HELO)" requires an argument$`,
	},
	{
		id: "kerio-relay", at: refusal, is: "kerio-connect", sure: 70,
		re: `^550 5\.7\.1 Relaying to <[^>]*> denied \(authentication required\)`,
	},
	{
		id: "mercury-relay", at: refusal, is: "mercury", sure: 82,
		re: `^55\d We do not relay non-local mail, sorry\.`,
	},
	{
		id: "smartermail-relay", at: refusal, is: "smartermail", sure: 70,
		re: `^550 Authentication is required for relay$`,
	},
	{
		id: "mdaemon-bye", at: refusal, is: "mdaemon", sure: 88,
		re: `See ya in cyberspace$`,
	},
	{
		id: "qpsmtpd-helo", at: refusal, is: "qpsmtpd", sure: 80,
		re: `^501 (?:helo|ehlo) requires domain/address - see RFC-2821 4\.1\.1\.1$`,
	},

	{
		id: "ironport-reputation", at: refusal, is: "ironport", sure: 90,
		re: `due to the sending MTA's poor reputation|^421 Exceeded bad SMTP command limit, disconnecting`,
	},
	{
		id: "ironport-code", at: refusal, is: "ironport", sure: 82,
		re: `^[45]\d\d #[45]\.\d\.\d `,
	},
	{
		id: "barracuda-reputation", at: refusal, is: "barracuda", sure: 80,
		re: `blocked using Barracuda Reputation`,
	},
	{
		id: "proofpoint-blocked", at: refusal, is: "proofpoint", sure: 80,
		re: `Blocked - see https://(?:ipcheck|support)\.proofpoint\.com`,
	},
	{
		id: "mimecast-community", at: refusal, is: "mimecast", sure: 88,
		re: `https://community\.mimecast\.com/`,
	},
	{
		id: "smg-refused", at: refusal, is: "smg", sure: 75,
		re: `^554 5\.7\.1 You are not allowed to connect\.$`,
	},
	{id: "pix-command", at: refusal, is: "pix", sure: 82, // the inspection overwrites commands that it does not know
		re: `^50\d .*"?\bX{4}\b"?`},
	{
		id: "proxsmtp-refused", at: refusal, is: "proxsmtp", sure: 60,
		re: `^421 Local Error, cannot start thread`,
	},

	{id: "aiosmtpd-unrecognized", at: refusal, is: "aiosmtpd", sure: 82, // so does Python's older smtpd
		re: `^500 Error: command ["'][^"']*["'] not recognized$`},
	{
		id: "aiosmtpd-sequence", at: refusal, is: "aiosmtpd", sure: 72,
		re: `^503 Error: (?:send (?:HELO|EHLO|LHLO) first|need (?:MAIL|RCPT) command|nested MAIL command)$`,
	},
	{
		id: "go-smtp-sequence", at: refusal, is: "go-smtp", sure: 85,
		re: `^50[12] 5\.5\.[12] (?:Please introduce yourself first\.|Missing (?:MAIL FROM|RCPT TO) command\.|Was expecting (?:MAIL|RCPT) arg syntax of )`,
	},
	{
		id: "smtpserver-retries", at: refusal, is: "smtpserver", sure: 85,
		re: `^501 .{0,200}, \d+ retry\(ies\) remaining\.$`,
	},
}

// systems gives the usual name of an operating system that greetings write otherwise, by the lower-case form.
var systems = map[string]string{
	"debian/gnu": "Debian", "debian": "Debian", "ubuntu": "Ubuntu", "suse": "SUSE", "opensuse": "openSUSE", "rhel": "Red Hat Enterprise Linux",
	"deb7": "Debian 7", "deb8": "Debian 8", "deb9": "Debian 9", "deb10": "Debian 10", "deb11": "Debian 11", "deb12": "Debian 12", "deb13": "Debian 13",
	"rhel6": "Red Hat Enterprise Linux 6", "rhel7": "Red Hat Enterprise Linux 7", "rhel8": "Red Hat Enterprise Linux 8",
}

// release is a release of Windows by the version of its SMTP service.
type release struct {
	build    string // first parts of the version
	windows  string
	end      string // of extended support
	exchange string // the release of Exchange that uses this service, "" if several or none do
}

// Source: learn.microsoft.com/lifecycle, by way of endoflife.date, August 2026. A build that a client release of
// Windows shares is taken for the server.
var releases = []release{
	{"10.0.26100", "Windows Server 2025", "2034-11-14", ""},
	{"10.0.20348", "Windows Server 2022", "2031-10-14", ""},
	{"10.0.17763", "Windows Server 2019", "2029-01-09", ""},
	{"10.0.14393", "Windows Server 2016", "2027-01-12", ""},
	{"8.5.9600", "Windows Server 2012 R2", "2023-10-10", ""},
	{"8.0.9200", "Windows Server 2012", "2023-10-10", ""},
	{"7.5.7601", "Windows Server 2008 R2", "2020-01-14", ""},
	{"7.5.7600", "Windows Server 2008 R2", "2020-01-14", ""},
	{"7.0.6003", "Windows Server 2008", "2020-01-14", ""},
	{"7.0.6002", "Windows Server 2008", "2020-01-14", ""},
	{"7.0.6001", "Windows Server 2008", "2020-01-14", ""},
	{"6.0.3790", "Windows Server 2003", "2015-07-14", "2003"},
	{"6.0.2600", "Windows XP", "2014-04-08", ""},
	{"5.0.2195", "Windows 2000", "2010-07-13", ""}, // Exchange 2000 or 2003
	{"5.0.2172", "Windows 2000", "2010-07-13", ""},
	{"5.5.1877", "Windows NT 4.0", "2004-12-31", ""},
}

// builds is the releases of Exchange by their build, oldest first within a year. Security updates raise the last number
// alone. Source: learn.microsoft.com, Exchange Server build numbers and release dates, by way of the CSV file of
// microsoft/Get-ExchangeBuildNumber, 2025.
var builds = []struct {
	major, minor, build int
	name                string
}{
	{6, 0, 0, "2000"},
	{6, 5, 0, "2003"},
	{8, 0, 0, "2007"},
	{8, 1, 0, "2007 SP1"},
	{8, 2, 0, "2007 SP2"},
	{8, 3, 0, "2007 SP3"},
	{14, 0, 0, "2010"},
	{14, 1, 0, "2010 SP1"},
	{14, 2, 0, "2010 SP2"},
	{14, 3, 0, "2010 SP3"},
	{15, 0, 0, "2013"},
	{15, 0, 620, "2013 CU1"},
	{15, 0, 712, "2013 CU2"},
	{15, 0, 775, "2013 CU3"},
	{15, 0, 847, "2013 SP1"},
	{15, 0, 913, "2013 CU5"},
	{15, 0, 995, "2013 CU6"},
	{15, 0, 1044, "2013 CU7"},
	{15, 0, 1076, "2013 CU8"},
	{15, 0, 1104, "2013 CU9"},
	{15, 0, 1130, "2013 CU10"},
	{15, 0, 1156, "2013 CU11"},
	{15, 0, 1178, "2013 CU12"},
	{15, 0, 1210, "2013 CU13"},
	{15, 0, 1236, "2013 CU14"},
	{15, 0, 1263, "2013 CU15"},
	{15, 0, 1293, "2013 CU16"},
	{15, 0, 1320, "2013 CU17"},
	{15, 0, 1347, "2013 CU18"},
	{15, 0, 1365, "2013 CU19"},
	{15, 0, 1367, "2013 CU20"},
	{15, 0, 1395, "2013 CU21"},
	{15, 0, 1473, "2013 CU22"},
	{15, 0, 1497, "2013 CU23"},
	{15, 1, 0, "2016"},
	{15, 1, 396, "2016 CU1"},
	{15, 1, 466, "2016 CU2"},
	{15, 1, 544, "2016 CU3"},
	{15, 1, 669, "2016 CU4"},
	{15, 1, 845, "2016 CU5"},
	{15, 1, 1034, "2016 CU6"},
	{15, 1, 1261, "2016 CU7"},
	{15, 1, 1415, "2016 CU8"},
	{15, 1, 1466, "2016 CU9"},
	{15, 1, 1531, "2016 CU10"},
	{15, 1, 1591, "2016 CU11"},
	{15, 1, 1713, "2016 CU12"},
	{15, 1, 1779, "2016 CU13"},
	{15, 1, 1847, "2016 CU14"},
	{15, 1, 1913, "2016 CU15"},
	{15, 1, 1979, "2016 CU16"},
	{15, 1, 2044, "2016 CU17"},
	{15, 1, 2106, "2016 CU18"},
	{15, 1, 2176, "2016 CU19"},
	{15, 1, 2242, "2016 CU20"},
	{15, 1, 2308, "2016 CU21"},
	{15, 1, 2375, "2016 CU22"},
	{15, 1, 2507, "2016 CU23"},
	{15, 2, 0, "2019"},
	{15, 2, 330, "2019 CU1"},
	{15, 2, 397, "2019 CU2"},
	{15, 2, 464, "2019 CU3"},
	{15, 2, 529, "2019 CU4"},
	{15, 2, 595, "2019 CU5"},
	{15, 2, 659, "2019 CU6"},
	{15, 2, 721, "2019 CU7"},
	{15, 2, 792, "2019 CU8"},
	{15, 2, 858, "2019 CU9"},
	{15, 2, 922, "2019 CU10"},
	{15, 2, 986, "2019 CU11"},
	{15, 2, 1118, "2019 CU12"},
	{15, 2, 1258, "2019 CU13"},
	{15, 2, 1544, "2019 CU14"},
	{15, 2, 1748, "2019 CU15"},
	{15, 2, 2562, "SE"},
}

// packaged is the releases of distributions by the version of a product that they came with, where the server names
// the distribution.
var packaged = []struct{ is, cycle, os, release string }{
	{"exim", "4.97", "Ubuntu", "Ubuntu 24.04"},
	{"exim", "4.95", "Ubuntu", "Ubuntu 22.04"},
	{"exim", "4.93", "Ubuntu", "Ubuntu 20.04"},
	{"exim", "4.90_1", "Ubuntu", "Ubuntu 18.04"},
	{"exim", "4.86_2", "Ubuntu", "Ubuntu 16.04"},
	{"exim", "4.82", "Ubuntu", "Ubuntu 14.04"},
	{"postfix", "3.8", "Ubuntu", "Ubuntu 24.04"},
	{"postfix", "3.6", "Ubuntu", "Ubuntu 22.04"},
	{"postfix", "3.4", "Ubuntu", "Ubuntu 20.04"},
	{"postfix", "3.3", "Ubuntu", "Ubuntu 18.04"},
	{"postfix", "3.1", "Ubuntu", "Ubuntu 16.04"},
	{"postfix", "2.11", "Ubuntu", "Ubuntu 14.04"},
	{"postfix", "3.10", "Debian", "Debian 13"},
	{"postfix", "3.7", "Debian", "Debian 12"},
	{"postfix", "3.5", "Debian", "Debian 11"},
	{"postfix", "3.4", "Debian", "Debian 10"},
	{"postfix", "3.1", "Debian", "Debian 9"},
	{"postfix", "2.11", "Debian", "Debian 8"},
	{"postfix", "2.9", "Debian", "Debian 7"},
}

// ends is when the makers' support ended, by product and release cycle. Sendmail's maker names no days. Source:
// endoflife.date, August 2026; Domino: announcements of HCL (June 2022) and IBM (2009).
var ends = []struct{ is, cycle, day string }{
	{"postfix", "3.7", "2026-03-06"},
	{"postfix", "3.6", "2025-02-16"},
	{"postfix", "3.5", "2024-03-06"},
	{"postfix", "3.4", "2023-04-17"},
	{"postfix", "3.3", "2022-02-05"},
	{"postfix", "3.2", "2021-04-29"},
	{"postfix", "3.1", "2020-03-15"},
	{"postfix", "3.0", "2019-02-27"},
	{"postfix", "2.11", "2018-02-21"},
	{"postfix", "2.10", "2017-02-28"},
	{"postfix", "2.9", "2016-02-24"},
	{"postfix", "2.8", "2015-02-08"},
	{"postfix", "2.6", "2013-02-11"},
	{"postfix", "2.5", "2012-02-06"},

	{"exim", "4.98", "2025-10-28"},
	{"exim", "4.97", "2024-07-10"},
	{"exim", "4.96", "2023-11-04"},
	{"exim", "4.95", "2022-06-25"},
	{"exim", "4.94", "2021-09-28"},
	{"exim", "4.93", "2020-06-01"},
	{"exim", "4.92", "2019-12-08"},
	{"exim", "4.91", "2019-02-10"},
	{"exim", "4.90", "2018-04-15"},
	{"exim", "4.89", "2017-12-19"},
	{"exim", "4.88", "2017-03-07"},
	{"exim", "4.87", "2016-12-18"},
	{"exim", "4.86", "2016-04-06"},
	{"exim", "4.85", "2015-07-26"},
	{"exim", "4.84", "2015-01-12"},
	{"exim", "4.83", "2014-08-11"},
	{"exim", "4.82", "2014-07-21"},
	{"exim", "4.80", "2013-10-28"},
	{"exim", "4.77", "2012-05-31"},

	{exchange, "2019", "2025-10-14"},
	{exchange, "2016", "2025-10-14"},
	{exchange, "2013", "2023-04-11"},
	{exchange, "2010", "2020-10-13"},
	{exchange, "2007", "2017-04-11"},
	{exchange, "2003", "2014-04-08"},
	{exchange, "2000", "2011-01-11"},
	{exchange, "5.5", "2006-01-10"},
	{exchange, "5.0", "2006-01-10"},

	{"domino-ibm", "10.0", "2024-06-01"},
	{"domino-ibm", "9.0", "2024-06-01"},
	{"domino-lotus", "7.0", "2011-04-30"},

	{"ibm-i", "V7R4", "2026-09-30"},
	{"ibm-i", "V7R3", "2023-09-30"},
	{"ibm-i", "V7R2", "2021-04-30"},
	{"ibm-i", "V7R1", "2018-04-30"},
	{"ibm-i", "V6R1", "2015-09-30"},
	{"ibm-i", "V5R4", "2013-09-30"},
	{"ibm-i", "V5R3", "2009-04-30"},
	{"ibm-i", "V5R2", "2007-04-30"},
	{"ibm-i", "V5R1", "2005-09-30"},
}
