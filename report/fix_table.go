package report

// products is searched in order; the last row fits everything. Facts: EXPOSURE.md 5 in the project's notes, and the
// documents named in each row.
var products = []product{
	{
		key: "postfix", match: []string{"postfix"}, name: same("Postfix"),
		steps: []step{
			{
				"", "See what is set: postconf -n | grep -E 'relay|mynetworks|recipient_restrictions|compatibility'",
				"現在の設定を確認する: postconf -n | grep -E 'relay|mynetworks|recipient_restrictions|compatibility'",
			},
			{
				">=2.10", "In main.cf: smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination. Let nothing else that permits stand before the last, there or in smtpd_recipient_restrictions.",
				"main.cf に smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination を設定する。ここでも smtpd_recipient_restrictions でも、reject_unauth_destination より前にほかの許可項目を置かない。",
			},
			{
				"<2.10", "Before 2.10 there is no smtpd_relay_restrictions: smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination decides. Let nothing else that permits stand before the last, and upgrade.",
				"2.10 より前の版には smtpd_relay_restrictions がなく、smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination が中継の可否を決める。reject_unauth_destination より前にほかの許可項目を置かず、新しい版へ更新する。",
			},
			{
				whenNet, "Set mynetworks to the hosts that must send through this server, and no more. Where it is not set, mynetworks_style decides: use host, never class, and subnet only where the whole subnet is yours.",
				"mynetworks には、このサーバーを経由して送信する必要のあるホストだけを設定する。未設定の場合は mynetworks_style が決める。host を使い、class は使わない。subnet はサブネット全体が自組織のものである場合に限る。",
			},
			{
				whenNet + " <3.0", "Before 3.0 mynetworks_style is subnet where nothing is set: every host of the server's own networks may relay. Write mynetworks_style = host.",
				"3.0 より前の版では、何も設定しなければ mynetworks_style は subnet であり、サーバーと同じネットワークの全ホストが中継できる。mynetworks_style = host と書く。",
			},
			{
				whenNet, "relay_domains names only the domains that this server forwards for.",
				"relay_domains には、このサーバーが転送を受け持つドメインだけを書く。",
			},
			{
				whenNet + " >=3.0", "After an upgrade from 2.x: search the log for \"using backwards-compatible default\". Below 1, compatibility_level leaves smtpd_relay_restrictions empty; below 2 it keeps mynetworks_style = subnet and relay_domains = $mydestination. Set the three by hand, then raise it: postconf compatibility_level=3.6",
				"2.x から更新した場合は、ログで \"using backwards-compatible default\" を探す。compatibility_level が 1 未満では smtpd_relay_restrictions が空のまま、2 未満では mynetworks_style = subnet と relay_domains = $mydestination のままになる。この 3 つを明示してから値を上げる: postconf compatibility_level=3.6",
			},
			{
				whenSender, "A check_sender_access table that answers OK, or a permit that follows from the sender, stands before reject_unauth_destination. Move it behind: anyone can write your domain into MAIL FROM.",
				"OK を返す check_sender_access 表、または送信者による許可が reject_unauth_destination より前にある。これを後ろへ移す。MAIL FROM に自組織のドメインを書くことは誰にでもできる。",
			},
			{
				whenNull, "A check_sender_access entry for <> (smtpd_null_access_lookup_key) answers OK before reject_unauth_destination. Remove it: bounces need no permission to relay.",
				"<>(smtpd_null_access_lookup_key)に対する check_sender_access の項目が reject_unauth_destination より前で OK を返している。これを削除する。バウンスに中継の許可は要らない。",
			},
			{
				whenHELO, "A check_helo_access table permits a name before reject_unauth_destination, which is open to everyone who claims that name. Move it behind, or let it answer DUNNO.",
				"check_helo_access 表が reject_unauth_destination より前で特定の名前を許可しており、その名前を名乗れば誰でも中継できる。後ろへ移すか、DUNNO を返すようにする。",
			},
			{
				"I7", "Compare the -o lines of smtps and submission in master.cf: an override of smtpd_relay_restrictions or smtpd_recipient_restrictions there holds for that listener alone.",
				"master.cf の smtps と submission の -o 行を比べる。そこで smtpd_relay_restrictions や smtpd_recipient_restrictions を上書きすると、そのリスナーだけに適用される。",
			},
			{
				"I13", "mynetworks or a check_client_access table holds the other address that the test came from. Remove it there, or let the table answer DUNNO. A source port proves nothing.",
				"mynetworks または check_client_access 表に、試験で使った別の送信元アドレスが含まれている。そこから削除するか、表が DUNNO を返すようにする。送信元ポートは何の証明にもならない。",
			},
			{
				whenRoute, "Keep allow_untrusted_routing = no and resolve_dequoted_address = yes. On a gateway, list what exists behind it in relay_recipient_maps, and let the inner server not trust the gateway to relay: it takes user%domain and \"user@domain\" apart again.",
				"allow_untrusted_routing = no と resolve_dequoted_address = yes を保つ。ゲートウェイでは、背後に実在する宛先を relay_recipient_maps に列挙し、内側のサーバーがゲートウェイからの中継を無条件に信頼しないようにする。内側のサーバーは user%domain や \"user@domain\" を再び分解するためである。",
			},
			{
				"R17", "Set strict_rfc821_envelopes = yes. If plain <address> is refused, a policy service or milter (check_policy_service, smtpd_milters) reads the address otherwise than Postfix does.",
				"strict_rfc821_envelopes = yes を設定する。通常の <address> が拒否されるなら、ポリシーサービスや milter(check_policy_service、smtpd_milters)のアドレスの読み方が Postfix と異なっている。",
			},
			{
				whenName, "A regexp: or pcre: table behind relay_domains, mydestination, virtual_mailbox_domains or a check_recipient_access matches too much: begin each pattern with ^, end it with $, and write dots as \\. there.",
				"relay_domains、mydestination、virtual_mailbox_domains、check_recipient_access のいずれかで使う regexp: または pcre: の表が広く一致しすぎる。各パターンを ^ で始めて $ で終え、ドットは \\. と書く。",
			},
			{
				"R20", "Remove permit_mx_backup from smtpd_relay_restrictions and smtpd_recipient_restrictions, and name the domains in relay_domains; else limit it with permit_mx_backup_networks. With it alone, whoever lists this server in an MX record relays through it.",
				"smtpd_relay_restrictions と smtpd_recipient_restrictions から permit_mx_backup を削除し、対象のドメインを relay_domains に書く。残す場合は permit_mx_backup_networks で限定する。permit_mx_backup だけでは、MX レコードにこのサーバーを載せた者は誰でも中継できる。",
			},
			{
				"R22", "A literal such as [192.0.2.1] is the server's own only if inet_interfaces or proxy_interfaces holds the address: look for a pattern in relay_domains or a check_recipient_access that takes [ and ], and remove it.",
				"[192.0.2.1] のようなリテラルは、inet_interfaces または proxy_interfaces がそのアドレスを含む場合に限り、サーバー自身を指す。relay_domains または check_recipient_access で [ と ] に一致するパターンを探し、削除する。",
			},
			{
				"R21 >=3.0", "If SMTPUTF8 is not needed: smtputf8_enable = no (it exists from 3.0 on). Else look for a table or pattern that matches any byte above 127, and write international domains in both forms (xn-- and UTF-8).",
				"SMTPUTF8 が不要なら smtputf8_enable = no とする(3.0 以降の設定)。必要なら、127 を超えるバイトに一致する表やパターンを探し、国際化ドメインは両方の形(xn-- と UTF-8)で書く。",
			},
			{
				"I2 I3", "Not Postfix checks the password, but what smtpd_sasl_type names. Until that is put right: smtpd_sasl_auth_enable = no, on each listener of master.cf too.",
				"パスワードを検査するのは Postfix ではなく、smtpd_sasl_type が指す仕組みである。是正するまで、master.cf の各リスナーも含めて smtpd_sasl_auth_enable = no とする。",
			},
			{
				"I2 I3", "Dovecot (doveconf -n): no passdb with driver = static, and no nopassword = y. Cyrus SASL (sasl/smtpd.conf): look at pwcheck_method and auxprop_plugin, and at pam_permit in /etc/pam.d/smtp; testsaslauthd -u nobody -p wrong must fail.",
				"Dovecot(doveconf -n)では、driver = static の passdb と nopassword = y を置かない。Cyrus SASL(sasl/smtpd.conf)では pwcheck_method と auxprop_plugin、さらに /etc/pam.d/smtp の pam_permit を確認する。testsaslauthd -u nobody -p wrong は失敗しなければならない。",
			},
			{
				"I2", "Offer PLAIN and LOGIN inside TLS alone: take CRAM-MD5 out of mech_list (sasl/smtpd.conf) or auth_mechanisms (Dovecot).",
				"TLS の内側で PLAIN と LOGIN だけを提供する。mech_list(sasl/smtpd.conf)または auth_mechanisms(Dovecot)から CRAM-MD5 を外す。",
			},
			{
				"I4", "smtpd_sasl_security_options = noanonymous, and smtpd_sasl_tls_security_options = noanonymous: one of them was emptied. Take ANONYMOUS out of mech_list (sasl/smtpd.conf) or auth_mechanisms (Dovecot).",
				"smtpd_sasl_security_options = noanonymous と smtpd_sasl_tls_security_options = noanonymous を設定する。どちらかが空にされている。mech_list(sasl/smtpd.conf)または auth_mechanisms(Dovecot)から ANONYMOUS を外す。",
			},
			{
				"I5", "smtpd_authorized_xclient_hosts names only the proxy or filter that must tell clients' addresses, else it stays empty (the default). Look at main.cf and at the -o lines of master.cf.",
				"smtpd_authorized_xclient_hosts には、クライアントのアドレスを伝える必要のあるプロキシやフィルターだけを書き、それがなければ空(既定値)のままにする。main.cf と master.cf の -o 行を確認する。",
			},
			{
				"I6", "smtpd_upstream_proxy_protocol and postscreen_upstream_proxy_protocol believe whoever connects. Set them on a port of their own alone (-o in master.cf), bind that port to the balancer's side, and let the firewall pass nobody but the balancer to it (HAProxy: the server line with send-proxy). Leave them empty on every other port.",
				"smtpd_upstream_proxy_protocol と postscreen_upstream_proxy_protocol は、接続してくる相手を誰でも信じる。専用のポートだけに設定し(master.cf の -o)、そのポートを負荷分散装置の側に結び付け、ファイアウォールでは負荷分散装置(HAProxy では send-proxy を持つ server 行)からの接続だけを通す。ほかのポートでは空のままにする。",
			},
			{
				"I9", "Take qmqpd out of master.cf, or name in qmqpd_authorized_clients the hosts that may use it.",
				"master.cf から qmqpd を外すか、利用してよいホストを qmqpd_authorized_clients に書く。",
			},
			{
				"I10", "In master.cf write 127.0.0.1:10025 inet and not 10025 inet, with -o mynetworks=127.0.0.0/8; a filter on another host gets an address of its own there. amavis: $inet_socket_bind = '127.0.0.1' and @inet_acl.",
				"master.cf では 10025 inet ではなく 127.0.0.1:10025 inet と書き、-o mynetworks=127.0.0.0/8 を付ける。フィルターが別のホストにある場合は、そのアドレスだけを許可する。amavis では $inet_socket_bind = '127.0.0.1' と @inet_acl を設定する。",
			},
			{
				"I11 >=3.9", "From 3.9 on smtpd_forbid_bare_newline = normalize is the default: remove the line of main.cf or master.cf that says otherwise, and keep smtpd_forbid_bare_newline_exclusions narrow (default: $mynetworks).",
				"3.9 以降は smtpd_forbid_bare_newline = normalize が既定値である。これを変えている main.cf または master.cf の行を削除し、smtpd_forbid_bare_newline_exclusions(既定値 $mynetworks)を狭く保つ。",
			},
			{
				"I11 <3.9", "Before 3.9 it is off unless set (CVE-2023-51764): bring Postfix to 3.5.24, 3.6.14, 3.7.10, 3.8.5 or later and set smtpd_forbid_bare_newline = normalize. 3.5.23, 3.6.13, 3.7.9 and 3.8.4 know only yes.",
				"3.9 より前の版では、設定しない限り無効である(CVE-2023-51764)。3.5.24、3.6.14、3.7.10、3.8.5 以降へ更新し、smtpd_forbid_bare_newline = normalize を設定する。3.5.23、3.6.13、3.7.9、3.8.4 で使える値は yes だけである。",
			},
			{
				"I11 <3.9", "Where it cannot be upgraded: smtpd_forbid_unauth_pipelining = yes (3.5.20, 3.6.10, 3.7.6, 3.8.1 and later), or smtpd_data_restrictions = reject_unauth_pipelining; and smtpd_discard_ehlo_keywords = chunking, silent-discard.",
				"更新できない場合は、smtpd_forbid_unauth_pipelining = yes(3.5.20、3.6.10、3.7.6、3.8.1 以降)または smtpd_data_restrictions = reject_unauth_pipelining を設定し、あわせて smtpd_discard_ehlo_keywords = chunking, silent-discard とする。",
			},
			{
				"I12 <2.8", "CVE-2011-0411: upgrade. 2.4.16, 2.5.12, 2.6.9, 2.7.3 and 2.8 throw away what was sent ahead of TLS.",
				"CVE-2011-0411 である。更新する。2.4.16、2.5.12、2.6.9、2.7.3 および 2.8 は、TLS より先に送られたものを破棄する。",
			},
			{
				"I12 >=2.8", "From 2.8 on Postfix throws away what was sent ahead of TLS: what answers is a proxy or a firewall's inspection in front of it. Upgrade that, or let it pass STARTTLS through untouched.",
				"Postfix は 2.8 以降、TLS より先に送られたものを破棄する。応答しているのは手前のプロキシまたはファイアウォールの検査機能である。それを更新するか、STARTTLS をそのまま通すように設定する。",
			},
		},
		tls:    text{"smtpd_tls_protocols = >=TLSv1.2 and smtpd_tls_mandatory_protocols = >=TLSv1.2 (before 3.6: !SSLv2, !SSLv3, !TLSv1, !TLSv1.1)", "smtpd_tls_protocols = >=TLSv1.2 と smtpd_tls_mandatory_protocols = >=TLSv1.2(3.6 より前の版では !SSLv2, !SSLv3, !TLSv1, !TLSv1.1)"},
		auth:   same("smtpd_tls_auth_only = yes"),
		source: same("Postfix: postconf(5), SMTPD_ACCESS_README, COMPATIBILITY_README, XCLIENT_README, FILTER_README"),
	},
	{
		key: "postfix-based", match: []string{"zimbra", "mailcow", "mail-in-a-box", "proxmox mail gateway", "mailplus", "interscan messaging"}, name: text{"a product made with Postfix", "Postfix を用いた製品"}, on: "postfix",
		steps: []step{
			{
				"*", "It runs Postfix under a management of its own: change its trusted networks and relay domains there, as main.cf is written anew from them. What to look for:",
				"この製品は独自の管理機能の下で Postfix を動かしている。main.cf はそこから書き直されるため、信頼するネットワークや中継ドメインはその管理機能で変更する。確認すべき点は次のとおりである。",
			},
		},
		source: text{"the product's own documentation; Postfix: postconf(5), SMTPD_ACCESS_README, COMPATIBILITY_README", "製品の文書、Postfix: postconf(5)、SMTPD_ACCESS_README、COMPATIBILITY_README"},
	},
	{
		key: "exim", match: []string{"exim"}, name: same("Exim"), lacks: "I9",
		steps: []step{
			{
				"", "Ask Exim what it does with a stranger, without sending: exim -bh ADDRESS-OF-A-STRANGER, then EHLO, MAIL and RCPT. It prints the ACL line that accepts.",
				"部外者に対する動作を、送信せずに Exim に尋ねる。exim -bh ADDRESS-OF-A-STRANGER(部外者のアドレス)を実行し、EHLO、MAIL、RCPT を入力すると、受理した ACL の行が表示される。",
			},
			{
				"", "acl_smtp_rcpt ends in this order: accept hosts = +relay_from_hosts; accept authenticated = *; require message = relay not permitted, domains = +local_domains : +relay_to_domains. Nothing accepts before.",
				"acl_smtp_rcpt の末尾は次の順とする: accept hosts = +relay_from_hosts、accept authenticated = *、require message = relay not permitted, domains = +local_domains : +relay_to_domains。それより前で accept しない。",
			},
			{
				whenNet, "hostlist relay_from_hosts holds only the hosts that must send through this server (default: localhost). On Debian: dc_relay_nets in /etc/exim4/update-exim4.conf.conf.",
				"hostlist relay_from_hosts には、このサーバーを経由して送信する必要のあるホストだけを書く(既定値は localhost)。Debian では /etc/exim4/update-exim4.conf.conf の dc_relay_nets である。",
			},
			{
				whenNet, "domainlist relay_to_domains holds no * and only domains that this server forwards for. On Debian: dc_relay_domains.",
				"domainlist relay_to_domains には * を書かず、このサーバーが転送を受け持つドメインだけを書く。Debian では dc_relay_domains である。",
			},
			{
				whenSender, "An accept with senders = or sender_domains = stands before the relay check. Remove it, or add authenticated = * or hosts = +relay_from_hosts to it: anyone can write your domain into MAIL FROM.",
				"senders = または sender_domains = を条件とする accept が中継の検査より前にある。これを削除するか、authenticated = * または hosts = +relay_from_hosts を加える。MAIL FROM に自組織のドメインを書くことは誰にでもできる。",
			},
			{
				whenNull, "An accept with senders = : lets the null sender pass before the relay check. Move it behind: bounces need no permission to relay.",
				"senders = : を条件とする accept が、中継の検査より前で空の送信者を通している。これを後ろへ移す。バウンスに中継の許可は要らない。",
			},
			{
				whenHELO, "A condition on $sender_helo_name accepts. Remove it: anyone can claim a name.",
				"$sender_helo_name を条件とする accept がある。これを削除する。名前は誰でも名乗れる。",
			},
			{
				"I7", "A condition on $tls_in_cipher, $received_port or $interface_port accepts without authentication on that listener. Add authenticated = * to it.",
				"$tls_in_cipher、$received_port、$interface_port のいずれかを条件として、そのリスナーで認証なしに受理している。authenticated = * を加える。",
			},
			{
				"I13", "A host list holds the other address that the test came from, by net or by name, or a condition on $sender_host_port accepts. Remove it: a source port proves nothing.",
				"試験で使った別の送信元アドレスが、ネットワークまたは名前でホストリストに含まれているか、$sender_host_port を条件とする accept がある。これを削除する。送信元ポートは何の証明にもならない。",
			},
			{
				whenRoute, "Leave percent_hack_domains unset and keep the deny for local parts with @ % ! / | (the default ACL has it). On a gateway, verify recipients with a callout, and let the inner server not trust the gateway to relay.",
				"percent_hack_domains は設定せず、ローカル部に @ % ! / | を含むものの deny(既定の ACL にある)を残す。ゲートウェイでは callout で宛先を検証し、内側のサーバーがゲートウェイからの中継を無条件に信頼しないようにする。",
			},
			{
				whenName, "A regular expression in local_domains or relay_to_domains matches too much: begin it with ^, end it with \\$ (or write \\N^…$\\N). *example.org without a dot takes badexample.org too.",
				"local_domains または relay_to_domains の正規表現が広く一致しすぎる。^ で始めて \\$ で終える(または \\N^…$\\N と書く)。ドットのない *example.org は badexample.org にも一致する。",
			},
			{
				"R20", "Take @mx_any, @mx_primary and @mx_secondary out of relay_to_domains, and name the domains: with them, whoever lists this server in an MX record relays through it.",
				"relay_to_domains から @mx_any、@mx_primary、@mx_secondary を外し、ドメイン名を列挙する。これらがあると、MX レコードにこのサーバーを載せた者は誰でも中継できる。",
			},
			{
				"R22", "Keep allow_domain_literals = false (the default). Where literals are needed, @[] in local_domains names the own ones alone.",
				"allow_domain_literals = false(既定値)を保つ。リテラルが必要な場合は、local_domains の @[] が自身のリテラルだけを表す。",
			},
			{
				"R21", "If SMTPUTF8 is not needed: smtputf8_advertise_hosts = with nothing behind it. Else compare domains as ${utf8_domain_to_alabel:$domain}.",
				"SMTPUTF8 が不要なら smtputf8_advertise_hosts = の値を空にする。必要なら、ドメインを ${utf8_domain_to_alabel:$domain} の形で比較する。",
			},
			{
				"I2 I3", "Look at the authenticators section. Until it is put right: auth_advertise_hosts = with nothing behind it, which refuses AUTH.",
				"設定の authenticators の節を確認する。是正するまで auth_advertise_hosts = の値を空にし、AUTH を拒否する。",
			},
			{
				"I3", "server_condition must be false for a user who does not exist: no fixed yes, true or 1, and a lookup ends in {yes}{no} and not in {yes}{yes}. With driver = dovecot look at Dovecot's passdb (static, nopassword).",
				"server_condition は、存在しない利用者に対して偽にならなければならない。固定の yes、true、1 を書かず、lookup の末尾は {yes}{yes} ではなく {yes}{no} とする。driver = dovecot の場合は Dovecot の passdb(static、nopassword)を確認する。",
			},
			{
				"I2", "server_secret of the cram_md5 authenticator must end in {…}fail for a user who does not exist, never in a fixed or empty text. PLAIN inside TLS makes CRAM-MD5 needless: remove it.",
				"cram_md5 の server_secret は、存在しない利用者に対して {…}fail で終わるようにし、固定の文字列や空の文字列にしない。TLS の内側の PLAIN があれば CRAM-MD5 は不要なので、削除する。",
			},
			{
				"I4", "Remove the authenticator (driver = cyrus_sasl or gsasl) with server_mech = anonymous, and take ANONYMOUS out of Dovecot's auth_mechanisms.",
				"server_mech = anonymous の認証器(driver = cyrus_sasl または gsasl)を削除し、Dovecot の auth_mechanisms から ANONYMOUS を外す。",
			},
			{
				"I5", "hosts_xclient (in builds with EXPERIMENTAL_XCLIENT) names only the proxy that must tell clients' addresses; unset, nobody may use XCLIENT.",
				"hosts_xclient(EXPERIMENTAL_XCLIENT で構築した場合)には、クライアントのアドレスを伝える必要のあるプロキシだけを書く。未設定なら誰も XCLIENT を使えない。",
			},
			{
				"I6", "hosts_proxy names the balancers' addresses and nothing else: who stands there may claim any address. Close the back-end port to all but the balancer (HAProxy: the server line with send-proxy).",
				"hosts_proxy には負荷分散装置のアドレスだけを書く。ここに含まれる者はどのアドレスも名乗れる。バックエンドのポートは、負荷分散装置(HAProxy では send-proxy を持つ server 行)以外に対して閉じる。",
			},
			{
				"I10", "Bind the port to the host itself: local_interfaces = <; 0.0.0.0.25 ; 127.0.0.1.10025, and let an accept on $received_port ask for hosts = 127.0.0.1 too.",
				"そのポートを自ホストだけに結び付ける: local_interfaces = <; 0.0.0.0.25 ; 127.0.0.1.10025。$received_port による accept には hosts = 127.0.0.1 も条件として加える。",
			},
			{
				"I11 <4.97.1", "CVE-2023-51766: bring Exim to 4.97.1 or later. Until then: chunking_advertise_hosts = with nothing behind it, or pipelining_advertise_hosts = likewise.",
				"CVE-2023-51766 である。4.97.1 以降へ更新する。それまでは chunking_advertise_hosts = の値を空にするか、pipelining_advertise_hosts = の値を空にする。",
			},
			{
				"I11 >=4.97.1", "From 4.97.1 on Exim takes no bare LF for the end of a message that came with CRLF: what answers is a filter or proxy in front of it. Upgrade that.",
				"Exim は 4.97.1 以降、CRLF で始まったメッセージの終端として単独の LF を受け付けない。応答しているのは手前のフィルターまたはプロキシである。それを更新する。",
			},
			{
				"I12", "Upgrade, and keep smtp_enforce_sync = true (the default), which refuses what is sent ahead. If a proxy or a firewall's inspection speaks TLS in front of Exim, the fault is there.",
				"更新し、先走って送られた入力を拒否する smtp_enforce_sync = true(既定値)を保つ。プロキシやファイアウォールの検査機能が Exim の手前で TLS を扱っているなら、欠陥はそちらにある。",
			},
		},
		tls:    same("openssl_options = +no_sslv2 +no_sslv3 +no_tlsv1 +no_tlsv1_1 (GnuTLS: tls_require_ciphers = NORMAL:-VERS-TLS1.0:-VERS-TLS1.1)"),
		auth:   same("auth_advertise_hosts = ${if eq {$tls_in_cipher}{}{}{*}}"),
		source: text{"Exim: specification (access control lists, exim -bh), src/configure.default, cve-2023-51766", "Exim: specification(access control lists、exim -bh)、src/configure.default、cve-2023-51766"},
	},
	{
		key: "sendmail", match: []string{"sendmail"}, name: same("Sendmail"), lacks: "I5 I6 I9",
		steps: []step{
			{
				"<8.9", "Before 8.9 sendmail relays for everyone unless it is told not to: replace it with a supported version.",
				"8.9 より前の sendmail は、禁止しない限り誰にでも中継する。サポート中の版に置き換える。",
			},
			{
				">=8.9", "From 8.9 on relaying is denied until a FEATURE, a class or the access database permits it: find the one that does.",
				"8.9 以降では、FEATURE、クラス、access データベースのいずれかが許可しない限り中継は拒否される。許可しているものを見つける。",
			},
			{
				whenNet, "Remove FEATURE(`promiscuous_relay') from the .mc file. With FEATURE(`relay_entire_domain') look at what is in class m.",
				".mc ファイルから FEATURE(`promiscuous_relay') を削除する。FEATURE(`relay_entire_domain') がある場合は、クラス m の内容を確認する。",
			},
			{
				whenNet, "/etc/mail/relay-domains and the RELAY lines of /etc/mail/access name only your own hosts and nets. Write Connect: or To: before each: a line without a tag counts for both.",
				"/etc/mail/relay-domains と /etc/mail/access の RELAY 行には、自組織のホストとネットワークだけを書く。各行の先頭に Connect: または To: を付ける。タグのない行は両方に適用される。",
			},
			{
				whenSender, "Remove FEATURE(`relay_local_from') and FEATURE(`relay_mail_from'): they relay for whoever writes your domain into MAIL FROM.",
				"FEATURE(`relay_local_from') と FEATURE(`relay_mail_from') を削除する。これらは、MAIL FROM に自組織のドメインを書いた者なら誰にでも中継する。",
			},
			{
				whenNull, "With FEATURE(`relay_mail_from') a line From:<> RELAY in the access database lets every bounce pass. Remove it.",
				"FEATURE(`relay_mail_from') がある場合、access データベースの From:<> RELAY という行はすべてのバウンスを通す。これを削除する。",
			},
			{
				whenHELO, "Take local rules on $s (the HELO name) out of Local_check_rcpt: anyone can claim a name.",
				"Local_check_rcpt から $s(HELO の名前)によるローカルルールを外す。名前は誰でも名乗れる。",
			},
			{
				"I7", "Look at CERTIssuer: and CERTSubject: RELAY lines in the access database, and at M= of that DAEMON_OPTIONS line.",
				"access データベースの CERTIssuer: と CERTSubject: の RELAY 行、および該当する DAEMON_OPTIONS 行の M= を確認する。",
			},
			{
				"I13", "A line Connect:… RELAY of the access database, or relay-domains, holds the other address that the test came from; a shorter prefix such as Connect:192.0.2 is a whole net, and a name is what the reverse DNS says.",
				"access データベースの Connect:… RELAY 行または relay-domains に、試験で使った別の送信元アドレスが含まれている。Connect:192.0.2 のような短い前置部はネットワーク全体を指し、名前は逆引き DNS の結果である。",
			},
			{
				whenRoute, "Remove FEATURE(`loose_relay_check'). Set FEATURE(`nouucp', `reject') on the gateway and the inner server alike, and let the inner server not trust the gateway to relay.",
				"FEATURE(`loose_relay_check') を削除する。ゲートウェイと内側のサーバーの両方に FEATURE(`nouucp', `reject') を設定し、内側のサーバーがゲートウェイからの中継を無条件に信頼しないようにする。",
			},
			{
				whenName, "Class R and the access database match whole labels from the right: look for a regex map or local rule in check_rcpt without $ at its end, and remove a trailing dot from what they compare.",
				"クラス R と access データベースは右からラベル単位で比較する。check_rcpt で使う regex マップやローカルルールのうち末尾に $ のないものを探し、比較の前に末尾のドットを取り除く。",
			},
			{
				"R20", "Remove FEATURE(`relay_based_on_MX') and name the domains in relay-domains: with it, whoever lists this server in an MX record relays through it.",
				"FEATURE(`relay_based_on_MX') を削除し、対象のドメインを relay-domains に書く。この FEATURE があると、MX レコードにこのサーバーを載せた者は誰でも中継できる。",
			},
			{
				"I2 I3", "Cyrus SASL checks the password: look at pwcheck_method and mech_list in Sendmail.conf (/usr/lib/sasl2 or /etc/sasl2) and at pam_permit in /etc/pam.d; testsaslauthd -u nobody -p wrong must fail. Until that is put right take TRUST_AUTH_MECH(`…') out of the .mc file: then a login lets nobody relay.",
				"パスワードを検査するのは Cyrus SASL である。Sendmail.conf(/usr/lib/sasl2 または /etc/sasl2)の pwcheck_method と mech_list、および /etc/pam.d の pam_permit を確認する。testsaslauthd -u nobody -p wrong は失敗しなければならない。是正するまで .mc ファイルから TRUST_AUTH_MECH(`…') を外す。そうすれば、認証しても中継は許可されない。",
			},
			{
				"I4", "TRUST_AUTH_MECH(`…') must not name ANONYMOUS. define(`confAUTH_OPTIONS', `A p y'): y forbids mechanisms without a user.",
				"TRUST_AUTH_MECH(`…') に ANONYMOUS を書かない。define(`confAUTH_OPTIONS', `A p y') とする。y は利用者名のない認証方式を禁止する。",
			},
			{
				"I10", "Bind the port to the host itself: DAEMON_OPTIONS(`Port=10025, Addr=127.0.0.1, Name=reinject').",
				"そのポートを自ホストだけに結び付ける: DAEMON_OPTIONS(`Port=10025, Addr=127.0.0.1, Name=reinject')。",
			},
			{
				"I11 <8.18", "CVE-2023-51765: bring sendmail to 8.18.1 or later, which takes CRLF . CRLF alone for the end of a message.",
				"CVE-2023-51765 である。8.18.1 以降へ更新する。8.18.1 は CRLF . CRLF だけをメッセージの終端とする。",
			},
			{
				"I11 >=8.18", "From 8.18.1 on the srv_features O, U and G allow what is forbidden by default: take them out of the Srv_Features: lines of the access database, or limit them to hosts that need them.",
				"8.18.1 以降では、srv_features の O、U、G が既定で禁止されているものを許可する。access データベースの Srv_Features: 行からこれらを外すか、必要なホストに限定する。",
			},
			{
				"", "Rebuild sendmail.cf and the maps (make -C /etc/mail), then restart. A host that need not receive: DAEMON_OPTIONS(`Port=smtp, Addr=127.0.0.1, Name=MTA').",
				"sendmail.cf とマップを作り直し(make -C /etc/mail)、再起動する。受信の必要がないホストでは DAEMON_OPTIONS(`Port=smtp, Addr=127.0.0.1, Name=MTA') とする。",
			},
		},
		tls:    same("define(`confSERVER_SSL_OPTIONS', `+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1')"),
		auth:   text{"define(`confAUTH_OPTIONS', `A p'): p keeps PLAIN and LOGIN back until TLS is active", "define(`confAUTH_OPTIONS', `A p')(p により、TLS が有効になるまで PLAIN と LOGIN を提示しない)"},
		source: text{"Sendmail: cf/README (anti-spam configuration control), RELEASE_NOTES", "Sendmail: cf/README(anti-spam configuration control)、RELEASE_NOTES"},
	},
	{
		key: "exchange", match: []string{"exchange server"}, name: same("Microsoft Exchange Server"), lacks: "I4 I5 I6 I9",
		steps: []step{
			{
				">=2007", "Find the connector: Get-ReceiveConnector | Get-ADPermission | where {$_.ExtendedRights -like \"*Accept-Any-Recipient*\"} and Get-ReceiveConnector | fl Name,Bindings,RemoteIPRanges,PermissionGroups,AuthMechanism",
				"該当する受信コネクタを見つける: Get-ReceiveConnector | Get-ADPermission | where {$_.ExtendedRights -like \"*Accept-Any-Recipient*\"} および Get-ReceiveConnector | fl Name,Bindings,RemoteIPRanges,PermissionGroups,AuthMechanism",
			},
			{
				">=2007", "Take the right away: Get-ReceiveConnector \"SERVER\\CONNECTOR\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"Ms-Exch-SMTP-Accept-Any-Recipient\"",
				"その権利を取り除く: Get-ReceiveConnector \"SERVER\\CONNECTOR\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"Ms-Exch-SMTP-Accept-Any-Recipient\"",
			},
			{
				">=2000 <2007 known", "Exchange System Manager, Servers, Protocols, SMTP, Default SMTP Virtual Server, Properties, Access, Relay: choose Only the list below, name single hosts, and clear Allow all computers which successfully authenticate to relay. On SMTP connectors, Address Space: clear Allow messages to be relayed to these domains.",
				"Exchange システム マネージャーの Servers、Protocols、SMTP、Default SMTP Virtual Server、Properties、Access、Relay で Only the list below を選び、ホストを個別に列挙し、Allow all computers which successfully authenticate to relay を外す。SMTP コネクタの Address Space では Allow messages to be relayed to these domains を外す。",
			},
			{
				"<2000 known", "Exchange Administrator, Internet Mail Service, Properties, Routing: choose Do not reroute incoming SMTP mail, or name the hosts under Routing Restrictions. This version gets no corrections any more: replace it.",
				"Exchange Administrator の Internet Mail Service、Properties、Routing で Do not reroute incoming SMTP mail を選ぶか、Routing Restrictions にホストを列挙する。この版はもう修正されないため、置き換える。",
			},
			{
				whenNet + " >=2007", "A connector with AuthMechanism ExternalAuthoritative and PermissionGroups ExchangeServers trusts every address of its RemoteIPRanges. Narrow the ranges to single hosts; 0.0.0.0-255.255.255.255 is an open relay.",
				"AuthMechanism が ExternalAuthoritative、PermissionGroups が ExchangeServers のコネクタは、RemoteIPRanges の全アドレスを信頼する。範囲を個々のホストまで狭める。0.0.0.0-255.255.255.255 はオープンリレーである。",
			},
			{
				whenNet + " >=2013", "From 2013 on, devices that must relay get a connector of their own with -TransportRole FrontendTransport and their addresses alone in RemoteIPRanges. Never add the right to a Default connector. If a NAT or load balancer hides clients, its address must not be among them.",
				"2013 以降では、中継の必要な機器のために -TransportRole FrontendTransport の専用コネクタを作り、RemoteIPRanges にその機器のアドレスだけを書く。Default コネクタには決してこの権利を与えない。NAT や負荷分散装置がクライアントを隠す場合、そのアドレスを含めてはならない。",
			},
			{
				whenNet + " >=2007 <2013", "In 2007 and 2010 the connectors belong to each Hub Transport and Edge server: look at all of them (Get-ReceiveConnector -Server SERVER). Devices that must relay get a connector of their own with their addresses alone in RemoteIPRanges; the Default connector never gets the right. Both versions are out of support: plan the replacement.",
				"2007 と 2010 では、コネクタはハブ トランスポートとエッジの各サーバーに属するので、すべてを確認する(Get-ReceiveConnector -Server SERVER)。中継の必要な機器には専用のコネクタを作り、RemoteIPRanges にその機器のアドレスだけを書く。Default コネクタには決してこの権利を与えない。どちらの版もサポートが終了しているため、置き換えを計画する。",
			},
			{
				whenSender, "An accepted domain of the sender gives no right to relay. Look for a transport agent or a Partner connector that permits by sender, and remove it.",
				"送信者のドメインが承認済みドメインであっても、中継の権利は生じない。送信者によって許可しているトランスポート エージェントまたは Partner コネクタを探し、削除する。",
			},
			{
				"I7", "Compare the Client Frontend (587) and Client Proxy (465) connectors with the default ones: AnonymousUsers does not belong in their PermissionGroups.",
				"Client Frontend(587)と Client Proxy(465)のコネクタを既定のものと比べる。その PermissionGroups に AnonymousUsers は不要である。",
			},
			{
				"I13", "RemoteIPRanges of one connector holds the other address that the test came from; the most specific range wins. Look at each connector's Bindings and RemoteIPRanges.",
				"いずれかのコネクタの RemoteIPRanges に、試験で使った別の送信元アドレスが含まれている。最も狭い範囲が優先される。各コネクタの Bindings と RemoteIPRanges を確認する。",
			},
			{
				whenRoute, "Recipients of the form IMCEASMTP-… or user%domain belong to no accepted domain. Look for an accepted domain * or an InternalRelay domain whose inner server takes them apart.",
				"IMCEASMTP-… や user%domain の形の宛先は、どの承認済みドメインにも属さない。* の承認済みドメイン、または内側のサーバーがこれらを分解する InternalRelay ドメインを探す。",
			},
			{
				whenName, "Get-AcceptedDomain: an entry *.example.org takes every name below it, and * takes all. Name the domains one by one.",
				"Get-AcceptedDomain を確認する。*.example.org という項目はその下のすべての名前を、* はすべてのドメインを受け入れる。ドメインを 1 つずつ列挙する。",
			},
			{
				"I2 I3", "Disable the Guest account of the domain and of the server: with it, any name that does not exist counts as logged in.",
				"ドメインとサーバーの Guest アカウントを無効にする。有効な場合、存在しない名前がすべて認証済みと見なされる。",
			},
			{
				"I2 I3 >=2007", "Take BasicAuth out of the connector's AuthMechanism where no device needs it, and ExchangeUsers out of the PermissionGroups of connectors that face the Internet. If the server itself refuses the login, a gateway or agent in front of it takes it.",
				"必要とする機器がなければ、コネクタの AuthMechanism から BasicAuth を外し、インターネットに面するコネクタの PermissionGroups から ExchangeUsers を外す。サーバー自身が認証を拒否するなら、手前のゲートウェイまたはエージェントが受け付けている。",
			},
			{
				"I10 >=2007", "Bind the connector to the address that needs it: Set-ReceiveConnector \"SERVER\\CONNECTOR\" -Bindings 127.0.0.1:10025, with RemoteIPRanges of the filter alone.",
				"コネクタを必要なアドレスだけに結び付ける: Set-ReceiveConnector \"SERVER\\CONNECTOR\" -Bindings 127.0.0.1:10025。RemoteIPRanges にはフィルターのアドレスだけを書く。",
			},
			{
				"I12", "Install the current updates; a version out of support gets none. If a proxy or a firewall's inspection speaks TLS in front of Exchange, the fault is there.",
				"最新の更新プログラムを適用する。サポートの終了した版には提供されない。プロキシやファイアウォールの検査機能が Exchange の手前で TLS を扱っているなら、欠陥はそちらにある。",
			},
		},
		tls:    text{"switch TLS 1.0 and 1.1 off in SCHANNEL (registry), as in Microsoft's Exchange Server TLS configuration guidance", "Microsoft の Exchange Server TLS 構成ガイダンスに従い、SCHANNEL(レジストリ)で TLS 1.0 と 1.1 を無効にする"},
		auth:   text{"AuthMechanism BasicAuthRequireTLS instead of BasicAuth on that connector", "そのコネクタの AuthMechanism を BasicAuth ではなく BasicAuthRequireTLS とする"},
		source: text{"Microsoft Learn: Allow anonymous relay on Exchange servers; Set-ReceiveConnector", "Microsoft Learn: Allow anonymous relay on Exchange servers、Set-ReceiveConnector"},
	},
	{
		key: "exchange-online", match: []string{"exchange online"}, name: same("Exchange Online"), lacks: "I4 I5 I6 I9 I10",
		steps: []step{
			{
				"", "Exchange admin center, Mail flow, Connectors: an inbound connector of the type Your organization's email server names single addresses (SenderIPAddresses) or a certificate (TlsSenderCertificateName), and no range that others share.",
				"Exchange 管理センターの「メール フロー」「コネクタ」を確認する。組織のメール サーバーを接続元とする受信コネクタには、個々のアドレス(SenderIPAddresses)または証明書(TlsSenderCertificateName)を指定し、他者と共有する範囲を指定しない。",
			},
			{
				"", "Get-InboundConnector | fl Name,ConnectorType,SenderIPAddresses,SenderDomains,TlsSenderCertificateName,RestrictDomainsToIPAddresses shows them all; remove what nobody needs.",
				"Get-InboundConnector | fl Name,ConnectorType,SenderIPAddresses,SenderDomains,TlsSenderCertificateName,RestrictDomainsToIPAddresses ですべてを表示し、不要なものを削除する。",
			},
			{
				whenSender, "A sender's domain gives no right by itself: set RestrictDomainsToIPAddresses or RestrictDomainsToCertificate on connectors with SenderDomains.",
				"送信者のドメインだけでは権利を与えない。SenderDomains を持つコネクタには RestrictDomainsToIPAddresses または RestrictDomainsToCertificate を設定する。",
			},
		},
		tls:    text{"nothing to set: Microsoft decides", "設定項目はない(Microsoft が決める)"},
		auth:   same("Set-TransportConfig -SmtpClientAuthenticationDisabled $true"),
		source: text{"Microsoft Learn: Set-InboundConnector", "Microsoft Learn: Set-InboundConnector"},
	},
	{
		key: "iis", match: []string{"iis", "microsoft esmtp", "microsoft smtp", "windows smtp"}, name: text{"the SMTP service of Windows Server (IIS 6)", "Windows Server の SMTP サービス(IIS 6)"}, lacks: "I4 I5 I6 I9",
		steps: []step{
			{
				"*", "Ask who needs it: the service is often left over from a web application. If nobody does, remove the feature SMTP Server.",
				"誰が必要としているかを確かめる。Web アプリケーションのために入れたまま忘れられていることが多い。必要な者がいなければ、機能「SMTP サーバー」を削除する。",
			},
			{
				"", "IIS 6.0 Manager, Default SMTP Virtual Server, Properties, Access, Relay: choose Only the list below, name single hosts, and clear Allow all computers which successfully authenticate where no login is used.",
				"IIS 6.0 マネージャーの Default SMTP Virtual Server、Properties、Access、Relay で Only the list below を選び、ホストを個別に列挙する。認証を使わない場合は Allow all computers which successfully authenticate を外す。",
			},
			{
				whenNet, "If only the host itself sends: Access, Connection: Only the list below, 127.0.0.1.",
				"自ホストだけが送信する場合は、Access、Connection で Only the list below を選び、127.0.0.1 だけを書く。",
			},
			{
				whenSender, "A remote domain marked Allow incoming mail to be relayed to this domain opens that domain to all: look under Domains.",
				"Allow incoming mail to be relayed to this domain が選ばれたリモート ドメインは、誰に対しても開かれている。Domains を確認する。",
			},
			{
				whenRoute, "Encapsulated and percent addresses were relayed by versions before MS99-027: this one cannot be put right, replace it.",
				"カプセル化アドレスやパーセント形式を中継するのは MS99-027 より前の版である。設定では直せないため、置き換える。",
			},
			{
				"I2 I3", "Disable the Guest account of the host and the domain: with it, any name that does not exist counts as logged in. Then clear Basic authentication under Access, Authentication where no login is used.",
				"ホストとドメインの Guest アカウントを無効にする。有効な場合、存在しない名前がすべて認証済みと見なされる。認証を使わない場合は、Access、Authentication で Basic authentication を外す。",
			},
		},
		tls:    text{"switch TLS 1.0 and 1.1 off in SCHANNEL (registry)", "SCHANNEL(レジストリ)で TLS 1.0 と 1.1 を無効にする"},
		auth:   text{"Properties, Access, Authentication: require TLS encryption with Basic authentication", "Properties、Access、Authentication で Basic authentication に TLS encryption を必須とする"},
		source: text{"Microsoft: SMTP Virtual Server properties, Access; security bulletin MS99-027", "Microsoft: SMTP Virtual Server properties, Access、セキュリティ情報 MS99-027"},
	},
	{
		key: "opensmtpd", match: []string{"opensmtpd"}, name: same("OpenSMTPD"), lacks: "I2 I4 I5 I9",
		steps: []step{
			{
				">=6.4", "In smtpd.conf: match from local for any action \"relay\", and for logged-in users match auth from any for any action \"relay\". No other rule relays. Check it: smtpd -n",
				"smtpd.conf では match from local for any action \"relay\" とし、認証した利用者のために match auth from any for any action \"relay\" とする。ほかの規則では中継しない。smtpd -n で検査する。",
			},
			{
				"<6.4", "Before 6.4 rules begin with accept: accept from local for any relay, which authenticated users match too. No other rule relays. From 6.4 on the grammar is match … action …: an upgrade asks for a new smtpd.conf, so test again after it.",
				"6.4 より前の版では規則は accept で始まる: accept from local for any relay(認証した利用者もこれに一致する)。ほかの規則では中継しない。6.4 以降の文法は match … action … であり、更新時に smtpd.conf を書き直すことになるため、更新後に再び試験する。",
			},
			{
				whenNet + " >=6.4", "Remove match from any for any action \"relay\", and narrow from src to single hosts.",
				"match from any for any action \"relay\" を削除し、from src を個々のホストまで狭める。",
			},
			{
				whenNet + " <6.4", "Before 6.4: remove accept from any for any relay, and narrow from source to single hosts.",
				"6.4 より前の版では、accept from any for any relay を削除し、from source を個々のホストまで狭める。",
			},
			{
				whenNet, "If the host need not receive: listen on localhost, or listen on lo0.",
				"受信の必要がないホストでは listen on localhost または listen on lo0 とする。",
			},
			{
				whenSender, "mail-from (before 6.4: sender) in a relay rule permits whoever writes that sender. Add auth to the rule.",
				"中継の規則に mail-from(6.4 より前の版では sender)があると、その送信者を書いた者なら誰でも許可される。規則に auth を加える。",
			},
			{
				whenNull, "A relay rule with mail-from \"\" or \"<>\" matches everyone's bounces. Remove it.",
				"mail-from \"\" または \"<>\" を持つ中継の規則は、誰のバウンスにも一致する。これを削除する。",
			},
			{
				whenHELO, "helo in a relay rule permits whoever claims that name. Remove it.",
				"中継の規則に helo があると、その名前を名乗った者なら誰でも許可される。これを削除する。",
			},
			{
				"I7", "tag and tls in a relay rule hold for one listener and prove nothing of the client. Add auth.",
				"中継の規則の tag と tls は特定のリスナーに対するもので、クライアントについて何も証明しない。auth を加える。",
			},
			{
				"I13", "A table behind from src holds the other address that the test came from, or from rdns trusts a name. Remove it.",
				"from src の表に試験で使った別の送信元アドレスが含まれているか、from rdns が名前を信頼している。これを削除する。",
			},
			{
				whenRoute, "for domain with a catch-all takes \"user%domain\" as a local name: list the existing users. On a gateway, let the inner server not trust it to relay.",
				"for domain と catch-all の組み合わせは \"user%domain\" をローカルな名前として受け入れる。実在する利用者を列挙する。ゲートウェイでは、内側のサーバーがゲートウェイからの中継を無条件に信頼しないようにする。",
			},
			{
				whenName, "for domain regex … or a table with *.… matches too much: begin patterns with ^, end them with $, and name the domains one by one.",
				"for domain regex … または *.… を含む表が広く一致しすぎる。パターンを ^ で始めて $ で終え、ドメインを 1 つずつ列挙する。",
			},
			{
				"R20", "backup and relay backup take mail for whoever lists this server in an MX record: give the rule for domain <table> with the domains by name.",
				"backup や relay backup は、MX レコードにこのサーバーを載せた者宛てのメールを受け取る。規則に for domain <table> を付け、ドメイン名を列挙する。",
			},
			{
				"I3", "auth <table> in the listen line: look into the table for an entry or a table process that takes any password, and test with a user who does not exist. Until then take auth off the listen line.",
				"listen 行の auth <table> について、任意のパスワードを受け付ける項目や table プロセスがないか確認し、存在しない利用者で試す。是正するまで listen 行から auth を外す。",
			},
			{
				"I6", "proxy-v2 in a listen line believes whoever connects. Keep it on a line of its own for the balancer's side, and close that port to all but the balancer (HAProxy: send-proxy-v2).",
				"listen 行の proxy-v2 は、接続してくる相手を誰でも信じる。負荷分散装置の側に面した専用の行だけに残し、そのポートを負荷分散装置(HAProxy では send-proxy-v2)以外に対して閉じる。",
			},
			{
				"I10", "Bind the port to the host itself: listen on lo0 port 10026 tag FILTERED, and let the relay rule ask for from local tag FILTERED.",
				"そのポートを自ホストだけに結び付ける: listen on lo0 port 10026 tag FILTERED。中継の規則では from local tag FILTERED を条件とする。",
			},
		},
		tls:    text{"listen on … tls protocols \"tlsv1.2,tlsv1.3\", where smtpd.conf(5) knows it; else upgrade", "smtpd.conf(5) が対応していれば listen on … tls protocols \"tlsv1.2,tlsv1.3\"、対応していなければ更新する"},
		auth:   same("listen on … tls-require auth"),
		source: same("OpenSMTPD: smtpd.conf(5)"),
	},
	{
		key: "domino", match: []string{"domino", "lotus"}, name: same("HCL Domino"), lacks: "I4 I5 I6 I9",
		steps: []step{
			{
				"", "Configuration Settings document, Router/SMTP, Restrictions and Controls, SMTP Inbound Controls.",
				"サーバー設定(Configuration Settings)文書の Router/SMTP、Restrictions and Controls、SMTP Inbound Controls を開く。",
			},
			{
				"", "Inbound Relay Controls: deny relaying to all external domains (*) and for all hosts (*), and allow only the hosts that must send through this server. Allow messages only from the following internet hosts to be sent to external internet domains: single addresses in brackets, and no *.",
				"Inbound Relay Controls では、すべての外部ドメイン(*)への中継とすべてのホスト(*)からの中継を拒否し、このサーバーを経由して送信する必要のあるホストだけを許可する。Allow messages only from the following internet hosts to be sent to external internet domains には、角括弧で囲んだ個々のアドレスだけを書き、* を書かない。",
			},
			{
				"", "Inbound Relay Enforcement: Perform Anti-Relay enforcement for these connecting hosts: All connecting hosts. With External hosts, whoever resolves to a local domain, or comes through a NAT that does, is let through. Empty Exclude these connecting hosts from anti-relay checks.",
				"Inbound Relay Enforcement の Perform Anti-Relay enforcement for these connecting hosts は All connecting hosts とする。External hosts の場合、ローカル ドメインに解決される者や、そのような NAT を経由する者は通されてしまう。Exclude these connecting hosts from anti-relay checks は空にする。",
			},
			{
				"", "notes.ini SMTPRelayHostsandDomains: 0 lets Allow win over Deny, 1 lets Deny win. Check which of the two your lists were written for.",
				"notes.ini の SMTPRelayHostsandDomains は、0 なら Allow が Deny に優先し、1 なら Deny が優先する。リストがどちらを前提に書かれたかを確認する。",
			},
			{
				whenSender, "Relaying does not depend on the sender there. Look for a mail rule or an anti-spam add-in that permits by sender.",
				"そこでの中継の可否は送信者に依存しない。送信者によって許可しているメール規則やスパム対策アドインを探す。",
			},
			{
				"I7", "Server document, Ports, Internet Ports, Mail: the SSL port has its own Name & password and Anonymous settings.",
				"サーバー文書の Ports、Internet Ports、Mail では、SSL ポートに独自の Name & password と Anonymous の設定がある。",
			},
			{
				"I13", "The Allow lists of the inbound relay controls, or Exclude these connecting hosts, hold the other address that the test came from, by address or by the name that the reverse DNS gives.",
				"Inbound Relay Controls の Allow リストまたは Exclude these connecting hosts に、試験で使った別の送信元アドレスが、アドレスまたは逆引き DNS の名前で含まれている。",
			},
			{
				whenRoute, "Look for a Global Domain or Foreign SMTP Domain document that passes user%domain or \"user@domain\" on, and verify that local domain recipients exist in the Domino Directory.",
				"user%domain や \"user@domain\" を先へ渡す Global Domain 文書または Foreign SMTP Domain 文書を探し、ローカル ドメインの宛先が Domino ディレクトリに存在することを検証させる。",
			},
			{
				whenName, "Look at the Global Domain document (Local primary Internet domain, Alternate Internet domain aliases) and the Allow lists for entries with *: they match more than they seem to.",
				"Global Domain 文書(Local primary Internet domain、Alternate Internet domain aliases)と Allow リストに * を含む項目がないか確認する。見かけより広く一致する。",
			},
			{
				"I2 I3", "Inbound Relay Enforcement, Exceptions for authenticated users: Perform anti-relay checks for authenticated users, until it is known why any password is taken. Look at DSAPI filters and at Directory Assistance.",
				"任意のパスワードが通る原因が分かるまで、Inbound Relay Enforcement の Exceptions for authenticated users を Perform anti-relay checks for authenticated users とする。DSAPI フィルターとディレクトリ アシスタントを確認する。",
			},
			{
				"I2 I3", "Server document, Ports, Internet Ports, Mail: Name & password No on inbound SMTP ports where nobody logs in.",
				"サーバー文書の Ports、Internet Ports、Mail で、ログインに使わない SMTP 受信ポートの Name & password を No にする。",
			},
		},
		tls:    text{"notes.ini SSL_DISABLE_TLS_10=1, and upgrade", "notes.ini に SSL_DISABLE_TLS_10=1 を書き、更新する"},
		auth:   text{"Server document, Ports, Internet Ports, Mail: Name & password No on the TCP/IP port, Yes on the SSL port", "サーバー文書の Ports、Internet Ports、Mail で、Name & password を TCP/IP ポートでは No、SSL ポートでは Yes とする"},
		source: text{"HCL Domino Administrator help: setting inbound relay controls; how inbound anti-relay settings control message transfer", "HCL Domino Administrator ヘルプ: setting inbound relay controls、how inbound anti-relay settings control message transfer"},
	},
	{
		key: "qmail", match: []string{"qmail", "indimail"}, name: same("qmail"), lacks: "I5 I6",
		steps: []step{
			{
				whenNet, "control/rcpthosts must exist: without it qmail takes mail for any recipient. List the domains that this server receives for (qmail-showctl shows what holds).",
				"control/rcpthosts は必ず置く。これがないと、qmail はあらゆる宛先のメールを受け取る。このサーバーが受信するドメインを列挙する(有効な設定は qmail-showctl で確認できる)。",
			},
			{
				whenNet, "In the tcpserver rules (tcp.smtp) RELAYCLIENT=\"\" stands only on lines of your own hosts, never on the last :allow. Rebuild with tcprules.",
				"tcpserver の規則(tcp.smtp)では、RELAYCLIENT=\"\" を自組織のホストの行だけに書き、最後の :allow には決して書かない。tcprules で作り直す。",
			},
			{
				whenSender, "Plain qmail knows no permission by sender: look for a patch, a wrapper (spamdyke) or a tcpserver rule that sets RELAYCLIENT.",
				"素の qmail には送信者による許可がない。RELAYCLIENT を設定するパッチ、ラッパー(spamdyke)、tcpserver の規則を探す。",
			},
			{
				whenNull, "Plain qmail treats the null sender as any other: look for a patch or wrapper that sets RELAYCLIENT for it.",
				"素の qmail は空の送信者を特別に扱わない。空の送信者に対して RELAYCLIENT を設定するパッチやラッパーを探す。",
			},
			{
				whenHELO, "Plain qmail decides nothing by the HELO name: look for a patch or wrapper that sets RELAYCLIENT for it.",
				"素の qmail は HELO の名前で何も決めない。HELO の名前によって RELAYCLIENT を設定するパッチやラッパーを探す。",
			},
			{
				"I7", "Compare the run scripts of the listeners: one of them sets RELAYCLIENT, or has an SMTP AUTH patch whose last argument is true.",
				"各リスナーの run スクリプトを比べる。いずれかが RELAYCLIENT を設定しているか、SMTP AUTH パッチの最後の引数が true になっている。",
			},
			{
				"I13", "A line of tcp.smtp with RELAYCLIENT holds the other address that the test came from: 192.0.2. is a whole net, =.example.org all names that the reverse DNS gives. Name single addresses.",
				"RELAYCLIENT を持つ tcp.smtp の行に、試験で使った別の送信元アドレスが含まれている。192.0.2. はネットワーク全体、=.example.org は逆引き DNS が返すすべての名前を指す。個々のアドレスを書く。",
			},
			{
				whenRoute, "control/percenthack must not exist. qmail takes recipients first and bounces later: install a recipient check (validrcptto, chkuser).",
				"control/percenthack を置かない。qmail は宛先をまず受理し、後でバウンスする。宛先の検査(validrcptto、chkuser)を導入する。",
			},
			{
				"R18 R19", "A line of control/rcpthosts or morercpthosts that begins with a dot takes every name below that domain: name the domains one by one, and run qmail-newmrh.",
				"control/rcpthosts または morercpthosts のドットで始まる行は、そのドメインの下のすべての名前を受け入れる。ドメインを 1 つずつ列挙し、qmail-newmrh を実行する。",
			},
			{
				"R20", "Plain qmail does not ask MX records whom it receives for: look for a patch or wrapper that does, and name the domains in control/rcpthosts.",
				"素の qmail は、受信するドメインを MX レコードでは判断しない。MX レコードを参照するパッチやラッパーを探し、ドメインは control/rcpthosts に列挙する。",
			},
			{
				"I2 I3", "The SMTP AUTH patch takes any password when qmail-smtpd is started with one argument missing or /bin/true in the wrong place: it must read qmail-smtpd HOSTNAME /bin/checkpassword /bin/true. Test it: a wrong password must get 535.",
				"SMTP AUTH パッチは、qmail-smtpd の引数が 1 つ欠けていたり /bin/true の位置が誤っていたりすると、任意のパスワードを受け付ける。qmail-smtpd HOSTNAME /bin/checkpassword /bin/true の順でなければならない。誤ったパスワードに 535 が返ることを確かめる。",
			},
			{
				"I2", "CRAM-MD5 needs a checker that knows it (cmd5checkpw): checkpassword does not. Use a build that offers PLAIN and LOGIN inside TLS alone.",
				"CRAM-MD5 には対応した検査プログラム(cmd5checkpw)が要る。checkpassword は対応していない。TLS の内側で PLAIN と LOGIN だけを提供するものを使う。",
			},
			{
				"I4", "Plain qmail knows no ANONYMOUS: a patch or wrapper adds it. Remove it there.",
				"素の qmail には ANONYMOUS がない。パッチまたはラッパーが加えているので、そこで外す。",
			},
			{
				"I9", "qmail-qmtpd (port 209) obeys control/rcpthosts and RELAYCLIENT like qmail-smtpd: give its tcpserver rules of its own without RELAYCLIENT. qmail-qmqpd (port 628) relays for everyone who may connect: its tcpserver rules must end in :deny and name single hosts.",
				"qmail-qmtpd(ポート 209)は qmail-smtpd と同じく control/rcpthosts と RELAYCLIENT に従う。その tcpserver には RELAYCLIENT のない専用の規則を与える。qmail-qmqpd(ポート 628)は、接続できる者なら誰にでも中継する。その tcpserver の規則には個々のホストだけを書き、末尾を :deny とする。",
			},
			{
				"I9", "If nobody uses them: svc -d the services and remove them from /service (or inetd).",
				"利用者がいなければ、svc -d で停止し、/service(または inetd)から削除する。",
			},
			{
				"I10", "Bind that tcpserver to 127.0.0.1 instead of 0: tcpserver … 127.0.0.1 10025 qmail-smtpd.",
				"その tcpserver を 0 ではなく 127.0.0.1 に結び付ける: tcpserver … 127.0.0.1 10025 qmail-smtpd",
			},
			{
				"I11", "Plain qmail refuses a bare LF (451). Remove fixcrio or a patch that lets it pass from the run script.",
				"素の qmail は単独の LF を拒否する(451)。run スクリプトから、それを通す fixcrio またはパッチを取り除く。",
			},
			{
				"I12", "CVE-2011-1431: build with a newer TLS patch (notqmail, s/qmail), which empties its input buffer after STARTTLS.",
				"CVE-2011-1431 である。STARTTLS の後に入力バッファーを空にする新しい TLS パッチ(notqmail、s/qmail)で構築し直す。",
			},
			{
				"", "QMTP and QMQP (ports 209 and 628) have rules of their own: look at them too.",
				"QMTP と QMQP(ポート 209 と 628)には独自の規則がある。これらも確認する。",
			},
		},
		tls:    text{"upgrade OpenSSL; control/tlsserverciphers without old suites", "OpenSSL を更新し、control/tlsserverciphers から古い暗号スイートを除く"},
		auth:   text{"use a build whose SMTP AUTH waits for TLS (notqmail with the TLS patch)", "TLS の後でだけ SMTP AUTH を提示するもの(TLS パッチを当てた notqmail)を使う"},
		source: text{"qmail: qmail-smtpd(8), qmail-showctl(8), tcprules(1), qmail-qmtpd(8), qmail-qmqpd(8)", "qmail: qmail-smtpd(8)、qmail-showctl(8)、tcprules(1)、qmail-qmtpd(8)、qmail-qmqpd(8)"},
	},
	{
		key: "courier", match: []string{"courier"}, name: same("Courier"), lacks: "I5 I6 I9",
		steps: []step{
			{
				"", "/etc/courier/smtpaccess: allow,RELAYCLIENT stands only on lines of hosts that must send through this server. Rebuild with makesmtpaccess and restart esmtpd.",
				"/etc/courier/smtpaccess では、allow,RELAYCLIENT をこのサーバーを経由して送信する必要のあるホストの行だけに書く。makesmtpaccess で作り直し、esmtpd を再起動する。",
			},
			{
				"", "esmtpacceptmailfor and esmtpacceptmailfor.dir name only the domains that this server receives for; without the files it takes what control/me and locals say. Rebuild with makeacceptmailfor.",
				"esmtpacceptmailfor と esmtpacceptmailfor.dir には、このサーバーが受信するドメインだけを書く。これらのファイルがなければ me と locals に従う。makeacceptmailfor で作り直す。",
			},
			{
				whenSender, "Courier gives no right by sender: look for a courierfilter or an entry in smtpaccess that does.",
				"Courier は送信者によって権利を与えない。そうしている courierfilter または smtpaccess の項目を探す。",
			},
			{
				"I7", "Compare esmtpd, esmtpd-ssl and esmtpd-msa: ACCESSFILE, AUTH_REQUIRED and RELAYCLIENT there hold for that listener alone. For 587: AUTH_REQUIRED=1.",
				"esmtpd、esmtpd-ssl、esmtpd-msa を比べる。そこに書いた ACCESSFILE、AUTH_REQUIRED、RELAYCLIENT はそのリスナーだけに適用される。587 では AUTH_REQUIRED=1 とする。",
			},
			{
				"I13", "A line of smtpaccess with RELAYCLIENT holds the other address that the test came from: 192.0.2 is a whole net. Name single addresses.",
				"RELAYCLIENT を持つ smtpaccess の行に、試験で使った別の送信元アドレスが含まれている。192.0.2 はネットワーク全体を指す。個々のアドレスを書く。",
			},
			{
				whenRoute, "Empty esmtppercentrelay and esmtppercentrelay.dir, and rebuild with makepercentrelay: they name domains for which user%domain is passed on.",
				"esmtppercentrelay と esmtppercentrelay.dir を空にし、makepercentrelay で作り直す。これらは user%domain を転送するドメインを定めるものである。",
			},
			{
				whenName, "A line of esmtpacceptmailfor or locals that begins with a dot takes every name below that domain: name the domains one by one.",
				"esmtpacceptmailfor または locals のドットで始まる行は、そのドメインの下のすべての名前を受け入れる。ドメインを 1 つずつ列挙する。",
			},
			{
				"I2 I3", "authdaemond checks the password: look at authmodulelist in authdaemonrc and at pam_permit in /etc/pam.d/esmtp; authtest nobody wrong must fail. Until that is put right set ESMTPAUTH=\"\" and ESMTPAUTH_TLS=\"\" in esmtpd and esmtpd-msa.",
				"パスワードを検査するのは authdaemond である。authdaemonrc の authmodulelist と /etc/pam.d/esmtp の pam_permit を確認する。authtest nobody wrong は失敗しなければならない。是正するまで、esmtpd と esmtpd-msa に ESMTPAUTH=\"\" と ESMTPAUTH_TLS=\"\" を設定する。",
			},
			{
				"I2", "Take CRAM-MD5 out of ESMTPAUTH and ESMTPAUTH_TLS: PLAIN inside TLS makes it needless.",
				"ESMTPAUTH と ESMTPAUTH_TLS から CRAM-MD5 を外す。TLS の内側の PLAIN があれば不要である。",
			},
			{
				"I4", "ESMTPAUTH and ESMTPAUTH_TLS must not name ANONYMOUS.",
				"ESMTPAUTH と ESMTPAUTH_TLS に ANONYMOUS を書かない。",
			},
			{
				"I10", "Bind that listener to the host itself: ADDRESS=127.0.0.1 in its configuration, and no RELAYCLIENT for other addresses in its ACCESSFILE.",
				"そのリスナーの設定に ADDRESS=127.0.0.1 と書いて自ホストだけに結び付け、その ACCESSFILE でほかのアドレスに RELAYCLIENT を与えない。",
			},
		},
		tls:    text{"TLS_PROTOCOL=\"TLSv1.2+\" in esmtpd and esmtpd-ssl; else upgrade", "esmtpd と esmtpd-ssl に TLS_PROTOCOL=\"TLSv1.2+\" を設定する。対応していなければ更新する"},
		auth:   text{"ESMTPAUTH=\"\" and ESMTPAUTH_TLS=\"PLAIN LOGIN\" in esmtpd and esmtpd-msa", "esmtpd と esmtpd-msa に ESMTPAUTH=\"\" と ESMTPAUTH_TLS=\"PLAIN LOGIN\" を設定する"},
		source: text{"Courier: courier(8), esmtpd(8), makesmtpaccess(8), makepercentrelay(8)", "Courier: courier(8)、esmtpd(8)、makesmtpaccess(8)、makepercentrelay(8)"},
	},
	{
		key: "haraka", match: []string{"haraka"}, name: same("Haraka"), lacks: "I9",
		steps: []step{
			{
				"", "config/relay.ini, [relay]: all = false, and no plugin of config/plugins sets connection.relaying without a login. Where a rcpt hook of your own answers OK, only for domains of config/host_list.",
				"config/relay.ini の [relay] で all = false とする。config/plugins のどのプラグインも、認証なしに connection.relaying を設定してはならない。独自の rcpt フックが OK を返すのは、config/host_list のドメインに限る。",
			},
			{
				whenNet, "config/relay_acl_allow (acl = true in relay.ini) holds only the hosts that must send through this server. If none does: acl = false.",
				"config/relay_acl_allow(relay.ini の acl = true)には、このサーバーを経由して送信する必要のあるホストだけを書く。なければ acl = false とする。",
			},
			{
				whenNet, "config/relay_dest_domains.ini: an entry with action accept or continue opens that domain to everyone. List only domains that this server forwards for.",
				"config/relay_dest_domains.ini の action が accept または continue の項目は、そのドメインを誰に対しても開く。このサーバーが転送を受け持つドメインだけを書く。",
			},
			{
				whenSender + " " + whenNull + " " + whenHELO, "A plugin sets connection.relaying by MAIL FROM or HELO. Remove it: both can be forged. host_list.anti_spoof refuses strangers who write your domain into MAIL FROM.",
				"MAIL FROM または HELO によって connection.relaying を設定しているプラグインがある。どちらも偽装できるため、削除する。host_list.anti_spoof を使うと、MAIL FROM に自組織のドメインを書いた部外者を拒否できる。",
			},
			{
				"I7", "A plugin decides by connection.tls.enabled or by the local port. Let it ask for connection.notes.auth_user too.",
				"connection.tls.enabled またはローカルのポートで判断しているプラグインがある。connection.notes.auth_user も条件とする。",
			},
			{
				"I13", "config/relay_acl_allow holds the other address that the test came from. Narrow the CIDR to single hosts.",
				"config/relay_acl_allow に、試験で使った別の送信元アドレスが含まれている。CIDR を個々のホストまで狭める。",
			},
			{
				whenRoute, "Refuse local parts with % and ! and quoted ones in a rcpt hook, check recipients (rcpt_to.in_host_list and a plugin that knows the users), and let no inner server trust this one to relay.",
				"rcpt フックで % や ! を含むローカル部と引用符付きのローカル部を拒否し、宛先を検査する(rcpt_to.in_host_list と、利用者を知るプラグイン)。内側のサーバーがこのサーバーからの中継を無条件に信頼しないようにする。",
			},
			{
				"R17", "config/connection.ini, [main]: strict_rfc1869 = true.",
				"config/connection.ini の [main] で strict_rfc1869 = true とする。",
			},
			{
				whenName, "config/host_list_regex: Haraka anchors each pattern, so .* at an end is what matches too much. Write dots as \\. there.",
				"config/host_list_regex を確認する。Haraka は各パターンを先頭と末尾に固定するため、広く一致しすぎる原因は端の .* である。ドットは \\. と書く。",
			},
			{
				"R21", "If SMTPUTF8 is not needed: smtputf8 = false in config/connection.ini, [main].",
				"SMTPUTF8 が不要なら、config/connection.ini の [main] で smtputf8 = false とする。",
			},
			{
				"I2 I3", "Look at the auth/… lines of config/plugins: check_plain_passwd or get_plain_passwd of a plugin of your own answers true for a user who does not exist. config/auth_flat_file.ini: no example users; take CRAM-MD5 out of methods. Until that is put right comment the plugin out.",
				"config/plugins の auth/… の行を確認する。独自プラグインの check_plain_passwd または get_plain_passwd が、存在しない利用者に対して真を返している。config/auth_flat_file.ini に例の利用者を残さず、methods から CRAM-MD5 を外す。是正するまでプラグインをコメントアウトする。",
			},
			{
				"I4", "Haraka itself knows no ANONYMOUS: a plugin adds it. Remove it from config/plugins.",
				"Haraka 自身には ANONYMOUS がない。プラグインが加えているので、config/plugins から外す。",
			},
			{
				"I5", "config/xclient.hosts names only the proxy that must tell clients' addresses; without need take xclient out of config/plugins.",
				"config/xclient.hosts には、クライアントのアドレスを伝える必要のあるプロキシだけを書く。不要なら config/plugins から xclient を外す。",
			},
			{
				"I6", "config/connection.ini, [haproxy] hosts[] (older versions: config/haproxy_hosts) names the balancers' addresses and nothing else. Close that port to all but the balancer (HAProxy: send-proxy).",
				"config/connection.ini の [haproxy] hosts[](古い版では config/haproxy_hosts)には、負荷分散装置のアドレスだけを書く。そのポートを負荷分散装置(HAProxy では send-proxy)以外に対して閉じる。",
			},
			{
				"I10", "config/smtp.ini: listen = 127.0.0.1:10025 and not [::0]:10025.",
				"config/smtp.ini では [::0]:10025 ではなく listen = 127.0.0.1:10025 とする。",
			},
		},
		tls:    text{"minVersion = TLSv1.2 in config/tls.ini", "config/tls.ini に minVersion = TLSv1.2 を設定する"},
		auth:   text{"load the tls plugin: Haraka's auth plugins then wait for TLS", "tls プラグインを読み込む(Haraka の auth プラグインは TLS の後でだけ AUTH を提示する)"},
		source: text{"Haraka: docs of the plugins relay, rcpt_to.in_host_list, xclient and auth; docs/HAProxy.md, docs/CoreConfig.md", "Haraka: relay、rcpt_to.in_host_list、xclient、auth 各プラグインの文書、docs/HAProxy.md、docs/CoreConfig.md"},
	},
	{
		key: "hmailserver", match: []string{"hmailserver"}, name: same("hMailServer"), lacks: "I2 I4 I5 I6 I9",
		steps: []step{
			{
				"", "Settings, Advanced, IP Ranges: look at the range with the highest priority that holds the stranger's address. It alone decides.",
				"Settings、Advanced、IP Ranges で、部外者のアドレスを含む範囲のうち優先度が最も高いものを確認する。その範囲だけが可否を決める。",
			},
			{
				whenNet, "Allow deliveries from External to external e-mail addresses: off in every range. Require SMTP authentication for Local to external and External to external: on.",
				"Allow deliveries from の External to external e-mail addresses を、すべての範囲でオフにする。Require SMTP authentication for の Local to external と External to external をオンにする。",
			},
			{
				whenSender, "Allow deliveries from Local to external goes by MAIL FROM, which anyone can forge: require SMTP authentication for it, in the Internet range and in My computer alike.",
				"Allow deliveries from の Local to external は MAIL FROM で判断されるが、MAIL FROM は誰でも偽装できる。Internet の範囲でも My computer の範囲でも、これに SMTP 認証を必須とする。",
			},
			{
				whenNull, "The null sender counts as external: External to external must be off.",
				"空の送信者は外部として扱われる。External to external をオフにする。",
			},
			{
				whenHELO, "hMailServer decides nothing by the HELO name: look for a script (Settings, Advanced, Scripts) that does.",
				"hMailServer は HELO の名前で何も決めない。そうしているスクリプト(Settings、Advanced、Scripts)を探す。",
			},
			{
				"I7", "IP ranges hold for all ports alike: look under Settings, Advanced, TCP/IP ports at what is offered there, and in the scripts for conditions on the port.",
				"IP ranges は全ポートに等しく適用される。Settings、Advanced、TCP/IP ports で何を提供しているかを確認し、スクリプトにポートによる条件がないか調べる。",
			},
			{
				"I13", "A range with a higher priority holds the other address that the test came from. Narrow it to single hosts, or delete it.",
				"優先度のより高い範囲に、試験で使った別の送信元アドレスが含まれている。個々のホストまで狭めるか、削除する。",
			},
			{
				whenRoute, "Settings, Advanced, Routes: a route whose recipients are treated as local passes odd forms on. Let it name the existing addresses.",
				"Settings、Advanced、Routes で、宛先をローカルとして扱うルートは特殊な形式を先へ渡す。実在するアドレスだけを列挙する。",
			},
			{
				whenName, "Settings, Advanced, Routes and the domains' aliases: an entry with * takes every name. Name the domains one by one.",
				"Settings、Advanced、Routes とドメインの別名を確認する。* を含む項目はすべての名前を受け入れる。ドメインを 1 つずつ列挙する。",
			},
			{
				"R17", "Settings, Protocols, SMTP, RFC compliance: keep the choices that allow malformed input off.",
				"Settings、Protocols、SMTP、RFC compliance で、不正な形式を許可する項目をオフにする。",
			},
			{
				"I3", "Look at accounts bound to Active Directory (the Guest account must be disabled there) and at scripts that answer logins. Until that is put right switch Local to external and External to external off in every range but that of your own hosts.",
				"Active Directory に結び付けたアカウント(Guest アカウントは無効でなければならない)と、ログインに応答するスクリプトを確認する。是正するまで、自組織のホスト以外のすべての範囲で Local to external と External to external をオフにする。",
			},
			{
				"I10", "Settings, Advanced, TCP/IP ports: give that port the address 127.0.0.1 instead of 0.0.0.0.",
				"Settings、Advanced、TCP/IP ports で、そのポートのアドレスを 0.0.0.0 ではなく 127.0.0.1 にする。",
			},
			{
				"I11", "Settings, Protocols, SMTP, RFC compliance: clear Allow incorrectly formatted line endings.",
				"Settings、Protocols、SMTP、RFC compliance で Allow incorrectly formatted line endings を外す。",
			},
		},
		tls:    text{"Settings, Advanced, SSL/TLS: TLS 1.2 and later only", "Settings、Advanced、SSL/TLS で TLS 1.2 以降だけを有効にする"},
		auth:   text{"Settings, Advanced, TCP/IP ports: STARTTLS (Required); and clear Allow plain text authentication", "Settings、Advanced、TCP/IP ports を STARTTLS (Required) とし、Allow plain text authentication を外す"},
		source: text{"hMailServer documentation: IP ranges", "hMailServer の文書: IP ranges"},
	},
	{
		key: "device", match: []string{"printer", "imagerunner", "bizhub", "workio", "network scanner", "network storage", "ups network card"}, name: text{"a printer, scanner or other device", "プリンター、スキャナーなどの機器"},
		steps: []step{
			{
				"*", "Switch receiving by SMTP off in the device's network settings: printing by mail and Internet fax alone need it.",
				"機器のネットワーク設定で SMTP 受信を無効にする。これを必要とするのはメール印刷とインターネット FAX だけである。",
			},
			{
				"*", "If it is needed, switch relaying (SMTP gateway, off-ramp) off, and let the device take connections from your own mail server alone.",
				"必要な場合は、中継(SMTP ゲートウェイ、オフランプ)を無効にし、自組織のメールサーバーからの接続だけを受け付けるようにする。",
			},
		},
		tls:    text{"the device's security settings, or new firmware", "機器のセキュリティ設定、または新しいファームウェア"},
		auth:   text{"the device's security settings", "機器のセキュリティ設定"},
		source: text{"the device's own documentation", "機器の文書"},
	},
	{
		key: "gateway", match: []string{"email security", "email gateway", "fortimail", "email appliance", "email protection", "messaging gateway", "mail security", "viruswall", "firewall", "mailsweeper", "webshield", "proxsmtp", "smtp inspection"}, name: text{"a mail gateway", "メールゲートウェイ"},
		steps: []step{
			{
				"", "A gateway takes mail for listed domains and passes on what listed hosts send. Find both lists; what neither names must be refused (Cisco: Recipient Access Table, All Other Recipients: Reject; HAT: sender group RELAYLIST).",
				"ゲートウェイは、列挙されたドメイン宛てのメールを受け取り、列挙されたホストからのメールを送り出す。両方のリストを見つける。どちらにもないものは拒否しなければならない(Cisco では Recipient Access Table の All Other Recipients: Reject、HAT の送信者グループ RELAYLIST)。",
			},
			{
				whenNet, "Narrow the list of sending hosts to single addresses. If a NAT or load balancer stands in front, its address must not be on it.",
				"送信を許可するホストのリストを個々のアドレスまで狭める。NAT や負荷分散装置が手前にある場合、そのアドレスを含めてはならない。",
			},
			{
				"", "The gateway may hand every decision to a server behind it. Then test that one from the gateway's network too: it must not trust the gateway to relay.",
				"ゲートウェイが判断をすべて背後のサーバーに委ねていることがある。その場合は、ゲートウェイのネットワークから背後のサーバーも試験する。背後のサーバーは、ゲートウェイからの中継を無条件に信頼してはならない。",
			},
			{
				whenSender + " " + whenNull + " " + whenHELO, "Take out whatever permits by sender or HELO name: both can be forged.",
				"送信者や HELO の名前による許可をすべて取り除く。どちらも偽装できる。",
			},
			{
				whenRoute, "Let it refuse %, !, quotes and a second @ in local parts, and check recipients against the directory.",
				"ローカル部の %、!、引用符、2 つ目の @ を拒否させ、宛先をディレクトリと照合させる。",
			},
		},
		tls:    text{"the gateway's TLS settings, or a newer version of it", "ゲートウェイの TLS 設定、またはより新しい版"},
		auth:   text{"the gateway's settings of the listener", "ゲートウェイのリスナー設定"},
		source: text{"the product's own documentation; Cisco Secure Email user guide: Recipient Access Table, Host Access Table", "製品の文書、Cisco Secure Email user guide: Recipient Access Table、Host Access Table"},
	},
	{
		key: "library", kind: "library", match: []string{"mailcatcher"}, name: text{"a mail server made with a library", "ライブラリで作られたメールサーバー"},
		steps: []step{
			{
				"*", "Find the program: such a server is part of an application. Its author decides who may relay, and most write no check.",
				"どのプログラムかを突き止める。このようなサーバーはアプリケーションの一部である。中継の可否は作者しだいであり、多くは検査を備えていない。",
			},
			{
				"", "Refuse at RCPT every recipient outside the domains that the program is for, before anything else is looked at.",
				"そのプログラムが扱うドメイン以外の宛先は、ほかの何よりも先に RCPT の段階で拒否する。",
			},
			{
				whenNet, "If only programs on the same host use it, bind it to 127.0.0.1; else let it ask for authentication.",
				"同じホストのプログラムだけが使うなら 127.0.0.1 に結び付ける。そうでなければ認証を必須とする。",
			},
			{
				whenSender + " " + whenNull + " " + whenHELO, "Take out whatever permits by sender or HELO name: both can be forged.",
				"送信者や HELO の名前による許可をすべて取り除く。どちらも偽装できる。",
			},
			{
				whenRoute, "Split addresses at the last @, and refuse quoted local parts, %, ! and source routes.",
				"アドレスは最後の @ で分け、引用符付きのローカル部、%、!、ソースルートを拒否する。",
			},
			{
				"I2 I3 I4", "The program's authenticator answers success for everyone (aiosmtpd: AuthResult(success=True); smtp-server: onAuth). Let it check the password, or offer no AUTH.",
				"プログラムの認証処理が誰に対しても成功を返している(aiosmtpd では AuthResult(success=True)、smtp-server では onAuth)。パスワードを検査させるか、AUTH を提供しない。",
			},
		},
		tls:    text{"let the program ask for TLS 1.2 as its minimum", "プログラムで TLS 1.2 を下限とする"},
		auth:   text{"let the program require TLS before AUTH (aiosmtpd: auth_require_tls=True)", "プログラムで AUTH の前に TLS を必須とする(aiosmtpd では auth_require_tls=True)"},
		source: text{"RFC 5321 3.6; the library's own documentation", "RFC 5321 3.6、ライブラリの文書"},
	},
	{
		key: "", name: text{"this mail server", "このメールサーバー"},
		steps: []step{
			{
				"", "Find the rule by which it took a foreign recipient, and put the relay check before every rule that permits: relay only for listed client addresses, for authenticated users, and to the domains that it serves (RFC 2505 2.1).",
				"外部宛てを受理した規則を見つけ、許可するどの規則よりも前に中継の検査を置く。中継は、列挙したクライアントアドレス、認証した利用者、およびそのサーバーが受け持つドメイン宛てに限る(RFC 2505 2.1)。",
			},
			{
				whenNet, "Look at its list of trusted networks and of relay domains. A list that holds everything, or the address of a NAT or proxy in front of it, trusts everyone.",
				"信頼するネットワークと中継ドメインのリストを確認する。すべてを含むリスト、または手前の NAT やプロキシのアドレスを含むリストは、誰でも信頼してしまう。",
			},
			{
				whenSender, "It permits by the sender's address, which anyone can forge. Remove that permission, or ask for authentication.",
				"誰でも偽装できる送信者アドレスによって許可している。その許可を取り除くか、認証を必須とする。",
			},
			{
				whenNull, "It does not check mail with the null sender. Bounces need no permission to relay.",
				"空の送信者のメールを検査していない。バウンスに中継の許可は要らない。",
			},
			{
				whenHELO, "It permits by the HELO name, which anyone can claim. Remove that permission.",
				"誰でも名乗れる HELO の名前によって許可している。その許可を取り除く。",
			},
			{
				"I7", "Its rules hold before TLS, or on other listeners, and not on this one. Give all of them the same rules.",
				"規則が TLS の前またはほかのリスナーだけに適用され、このリスナーには適用されていない。すべてに同じ規則を適用する。",
			},
			{
				"I13", "It trusts the other address or port that the test came from. Trust single addresses that must send through it; a source port proves nothing.",
				"試験で使った別の送信元アドレスまたはポートを信頼している。信頼するのは、経由して送信する必要のある個々のアドレスだけとする。送信元ポートは何の証明にもならない。",
			},
			{
				whenRoute, "It takes an address with a route in it (%, !, quotes, two @) for its own. Refuse such forms, and let no inner server trust it to relay.",
				"経路を含むアドレス(%、!、引用符、2 つの @)を自分宛てと見なしている。そのような形式を拒否し、内側のサーバーがこのサーバーからの中継を無条件に信頼しないようにする。",
			},
			{
				"R17", "It reads a recipient without angle brackets, or with a blank before them, by other code than the relay check. Refuse what RFC 5321 4.1.2 does not allow.",
				"山括弧のない宛先や、山括弧の前に空白のある宛先を、中継の検査とは別の処理で読んでいる。RFC 5321 4.1.2 が許さない形式を拒否する。",
			},
			{
				whenName, "It compares domains carelessly: as text without their end, by a pattern that is not anchored, or with the trailing dot. Name the domains one by one, anchor patterns at both ends, and take the dot off first.",
				"ドメインの比較が緩い。末尾まで比較していない、パターンが両端で固定されていない、末尾のドットを残しているのいずれかである。ドメインを 1 つずつ列挙し、パターンを両端で固定し、先にドットを取り除く。",
			},
			{
				"R20", "It takes mail for every domain whose MX record names it, and anyone can write such a record. Name the domains that it is a backup for.",
				"MX レコードに自分が載っているすべてのドメインのメールを受け取るが、そのようなレコードは誰でも書ける。バックアップを受け持つドメインを列挙する。",
			},
			{
				"R22", "It passes address literals of foreign hosts (user@[192.0.2.1]), as no list of domains names them. Refuse every literal but its own.",
				"外部ホストのアドレスリテラル(user@[192.0.2.1])は、ドメインのどのリストにも載っていないため、そのまま通している。自身のもの以外のリテラルをすべて拒否する。",
			},
			{
				"R21", "It compares an international domain otherwise than its lists are written. Bring both to the xn-- form first (RFC 5891), or do not offer SMTPUTF8.",
				"国際化ドメインの比較が、リストの書き方と合っていない。先に両方を xn-- の形にそろえる(RFC 5891)か、SMTPUTF8 を提供しない。",
			},
			{
				"I2 I3", "It takes a login that does not exist. Find what checks passwords (PAM, LDAP, a database, a plugin): it must refuse a user whom it does not know. Until then offer no AUTH.",
				"存在しない利用者のログインを受け付けている。パスワードを検査する仕組み(PAM、LDAP、データベース、プラグイン)を見つける。知らない利用者を拒否しなければならない。是正するまで AUTH を提供しない。",
			},
			{
				"I2", "Take CRAM-MD5 off the list of mechanisms: inside TLS, PLAIN does the same.",
				"認証方式の一覧から CRAM-MD5 を外す。TLS の内側では PLAIN で足りる。",
			},
			{
				"I4", "Take ANONYMOUS off the list of mechanisms (RFC 4505), or give those who log in so no right to relay.",
				"認証方式の一覧から ANONYMOUS(RFC 4505)を外すか、それでログインした者に中継の権利を与えない。",
			},
			{
				"I5", "It lets this client claim another address by XCLIENT. Allow XCLIENT for the proxy that needs it alone, and else not at all.",
				"このクライアントが XCLIENT で別のアドレスを名乗ることを許している。XCLIENT は必要なプロキシだけに許可し、それ以外には許可しない。",
			},
			{
				"I6", "It believes a PROXY header from anyone: whoever reaches the port may claim a trusted address. Name the balancers that may send it, and close the back-end port to all but the balancer.",
				"PROXY プロトコルのヘッダーを誰からでも信じており、ポートに到達できる者は信頼されたアドレスを名乗れる。送ってよい負荷分散装置を列挙し、バックエンドのポートを負荷分散装置以外に対して閉じる。",
			},
			{
				"I9", "It relays by QMTP or QMQP (ports 209 and 628: qmail-qmtpd, qmail-qmqpd, Postfix qmqpd). Stop the service, or let only the hosts that need it connect; QMQP knows no relay check at all.",
				"QMTP または QMQP(ポート 209 と 628、qmail-qmtpd、qmail-qmqpd、Postfix の qmqpd)で中継している。サービスを停止するか、必要なホストだけに接続を許可する。QMQP には中継の検査がまったくない。",
			},
			{
				"I10", "The port is where a content filter hands mail back, unchecked. Bind it to 127.0.0.1, or to the network between the two, and let only the filter connect.",
				"このポートは、コンテンツフィルターが検査なしでメールを戻すためのものである。127.0.0.1 または両者の間のネットワークだけに結び付け、フィルターだけに接続を許可する。",
			},
			{
				"I11", "It takes something other than CRLF . CRLF for the end of a message, so that one message can smuggle in another. Upgrade it, and set what makes it refuse a bare CR or LF. Until then stop offering CHUNKING and PIPELINING.",
				"CRLF . CRLF 以外のものをメッセージの終端と見なすため、1 通のメッセージに別の 1 通を紛れ込ませることができる。更新し、単独の CR や LF を拒否する設定を有効にする。それまでは CHUNKING と PIPELINING を提供しない。",
			},
			{
				"I12", "It carries out commands that came before TLS began as if they had come inside it (the CVE-2011-0411 class). Upgrade it; if a proxy or a firewall's inspection speaks TLS in front of it, upgrade that.",
				"TLS の開始前に届いたコマンドを、TLS の内側で届いたかのように実行する(CVE-2011-0411 と同種)。更新する。プロキシやファイアウォールの検査機能が手前で TLS を扱っているなら、それを更新する。",
			},
		},
		tls:    text{"let it speak TLS 1.2 and later only", "TLS 1.2 以降だけを使わせる"},
		auth:   text{"let it offer AUTH after STARTTLS only", "STARTTLS の後でだけ AUTH を提示させる"},
		source: same("RFC 2505 2.1, RFC 5321 3.6"),
	},
}

// What is said whatever the product is. Arguments keep their number in both languages.
var (
	ownDocuments = text{"the product's own documentation", "製品の文書"}
	notItself    = text{"%[1]s itself has no part in %[2]s: a proxy, filter or patch in front of it answers. Look there.", "%[1]s 自身は %[2]s に関与しない。応答しているのは手前のプロキシ、フィルターまたはパッチであるため、そちらを確認する。"}
	localNames   = text{"Let it refuse local names that do not exist, so that route forms can be told from them; then test again with stop_at: delivered.", "経路形式と区別できるように、存在しないローカルな名前を拒否させる。そのうえで stop_at: delivered を指定して再び試験する。"}

	oldTLS     = text{"Switch TLS 1.0 and 1.1 off: %[1]s.", "TLS 1.0 と 1.1 を無効にする: %[1]s。"}
	clearAuth  = text{"Offer AUTH after STARTTLS only: %[1]s.", "AUTH は STARTTLS の後でだけ提供する: %[1]s。"}
	oldVersion = text{"Bring %[1]s to a supported version, and test it for relaying again afterwards.", "%[1]s をサポート中の版へ更新し、その後で中継の試験を再び行う。"}

	sinkOwner   = text{"Find out whose it is. A test server that nobody remembers collects what is sent to it, and shows it to everyone who can reach its web page.", "誰のものかを突き止める。忘れられた試験用サーバーは届いたものをため込み、その Web ページに到達できる全員に見せてしまう。"}
	sinkStop    = text{"If nobody needs it, stop it. Else bind it to 127.0.0.1 or to the test network.", "不要なら停止する。必要なら 127.0.0.1 または試験用ネットワークだけに結び付ける。"}
	sinkRelease = text{"Check that it has no release or forward function configured: with one, a sink sends mail on.", "解放(release)や転送の機能が設定されていないことを確かめる。設定されていると、ため込んだメールを外へ送り出す。"}
	sinkQueue   = text{"Look into its queue for the canary. If it waits there, the server relays and only its way out is closed: the steps below close it.", "キューにカナリアがないか確認する。残っていれば、サーバーは中継しており、外へ出る経路が閉じているだけである。以下の手順で閉じる。"}

	judgeDomain = text{"It looks the recipient's domain up before it decides: configure a canary domain, one that exists and whose mail ends at your own sink (canary.domain).", "判断の前に宛先のドメインを検索している。実在し、メールが自組織の受け口に届くカナリアドメインを設定する(canary.domain)。"}
	judgeLetIn  = text{"Let this scan's address past bans, block lists and greylisting.", "この走査の送信元アドレスを、接続禁止、ブロックリスト、グレイリストの対象から除外する。"}
	judgeAgain  = text{"Then test it again: relaysweep probe %[1]s", "そのうえで再び試験する: relaysweep probe %[1]s"}

	fromOutside  = text{"outside", "外部"}
	fromInside   = text{"the inside", "内部"}
	denyRule     = text{"deny tcp from %[1]s to %[2]s port %[3]d.", "deny tcp from %[1]s to %[2]s port %[3]d"}
	permitFew    = text{"Permit tcp to %[1]s only from the hosts that must send through it, and not from all of %[2]s.", "%[1]s への tcp は、そこを経由して送信する必要のあるホストからだけ許可し、%[2]s 全体からは許可しない。"}
	closeRare    = text{"Close the opening: %[1]s Port %[2]d is %[3]s, and rarely needed from outside.", "公開を止める(%[1]s)。ポート %[2]d は%[3]sものであり、外部から必要になることはまれである。"}
	closeOpening = text{"If nobody outside needs %[1]s, close the opening: %[2]s If it must receive mail, close it until the server is put right.", "外部から %[1]s を必要とする者がいなければ、公開を止める(%[2]s)。メールを受信する必要がある場合は、サーバーを是正するまで止めておく。"}

	seenElse    = text{"The server saw this scan come from %[1]s, and it came from %[2]s: an address translation or a proxy stands between.", "サーバーから見たこの走査の送信元は %[1]s だが、実際の送信元は %[2]s である。間にアドレス変換またはプロキシがある。"}
	seenPrivate = text{" If %[1]s is among the server's trusted addresses, every stranger counts as one of its own: switch source translation off for this opening.", "%[1]s がサーバーの信頼するアドレスに含まれていると、すべての部外者が内部の者として扱われる。この公開ポートでは送信元アドレス変換を無効にする。"}
	seenUnknown = text{"Look up this scan's address in the server's log. If an inside address stands there, source translation on the firewall makes every stranger look like one of its own: switch it off for this opening.", "サーバーのログでこの走査のアドレスを調べる。内部のアドレスが記録されていれば、ファイアウォールの送信元アドレス変換により、すべての部外者が内部の者に見えている。この公開ポートでは変換を無効にする。"}
)

// portNotes say what ports beside the assigned ones are mostly for.
var portNotes = map[uint16]text{
	24: {"LMTP's, between servers of one site", "同一サイトのサーバー間の LMTP が使う"}, 717: {"Exchange's outbound proxy", "Exchange の送信プロキシが使う"},
	1025: testPort, 2500: testPort, 8025: testPort, 25000: testPort, 25025: testPort,
	10024: {"mostly a content filter's", "主にコンテンツフィルターが使う"}, 10025: filterPort, 10026: filterPort,
}

var (
	testPort   = text{"mostly a test server's", "主に試験用サーバーが使う"}
	filterPort = text{"mostly where a content filter hands mail back, unchecked", "主にコンテンツフィルターが検査なしでメールを戻すために使う"}
)
