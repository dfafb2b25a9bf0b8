// Package smtptest holds fake servers that play .dialog files and keep score.
//
//	relay.dialog ─► Parse ─► Dialog ─► Server ─► loopback ─► the client under test
//	                                     │
//	                                     └─► Score: what the client did to us
//
// A Dialog is text. This one is a whole mail server that relays for anyone:
//
//	= any order
//	S: 220 $hostname ESMTP Postfix
//	C: EHLO *
//	S: 250-$hostname
//	S: 250 PIPELINING
//	C: MAIL FROM:*
//	S: 250 2.1.0 Ok
//	C: RCPT TO:*
//	S: 250 2.1.5 Ok
//	C: DATA
//	S: 354 End data with <CR><LF>.<CR><LF>
//	= data
//	= relay
//	S: 250 2.0.0 Ok: queued
//	C: QUIT
//	S: 221 2.0.0 Bye
//	= close
//
// # The file
//
// A .dialog file is UTF-8, at most 1 MiB, read line by line. Blank lines and
// lines that start with # are ignored. White space before a line is ignored.
// Every other line starts with one of
//
//	S: text        the server says this line
//	C: pattern     the client says this line
//	= directive    the server does something else than talk
//
// One space after the colon belongs to the format; all that follows, trailing
// spaces too, belongs to the text. The lines from one C: to the next are a
// block. Those before the first C: are the greeting, played when a client
// connects. Nothing can follow "= close", "= reset" or "= hang" in its block.
//
// # Escapes, in texts and patterns alike
//
//	\r \n \t \\    as in Go
//	\xHH           one byte
//	\$ \*          a plain dollar or star
//
// A backslash before anything else is an error. Bytes that are not UTF-8 must
// be written \xHH.
//
// # S: text
//
// A text ends with CRLF, which is added. A text that ends with the escape \n
// ends with exactly what is written: "S: 220 hi\n" is a bare LF, "S: 220
// hi\r\n" is the same as "S: 220 hi". A text that ends with \c gets no line
// ending at all. In a text stand
//
//	$1 … $9        what the stars of this block's C: pattern matched
//	$line          the client's line
//	$ip            the client's address
//	$hostname      the server's name
//
// Any other dollar, and a $N without such a star, is plain text.
//
// # C: pattern
//
// A pattern matches a whole client line without its line ending. Letters match
// in either case. A star matches any text, also none: each star takes as
// little as it can, the last one what is left. A canary token ("rs-" and 20
// characters of a-z2-7) matches every other, so that yesterday's transcript
// plays for today's prober.
//
// # Two ways to play
//
// Script, the default: greeting and blocks are played in order, once for each
// connection; then the server closes. A client line that does not match the
// next pattern is a mismatch: it is answered "500 5.5.1 Unexpected" and the
// script stays. So is a client that leaves before the last block. A transcript
// of the prober is such a script. After a 354 in a script without "= data" the
// C: lines are the message: one that differs is a mismatch without an answer,
// and the client's "." goes on at the next "C: .".
//
// Rules, with "= any order": each client line plays the first block, in file
// order, whose pattern matches and whose conditions hold. A line without one is
// a mismatch, answered "502 5.5.2 Command not recognized". No command has a
// meaning of its own: a server that should close on QUIT says so in a block.
//
// # Directives for the whole dialog, before the first S: or C:
//
//	= any order                    rules, not a script
//	= implicit tls                 TLS from the first byte
//	= hostname NAME                $hostname, unless Server.Hostname is set
//	= max connections N [text]     more at one time from one address get the
//	                               text, if any, and are dropped
//	= max errors N text            after N replies 4yz or 5yz in a connection
//	                               send the text and drop it
//	= rewrite PATTERN -> TEXT      for "= relay": a recipient, in its brackets,
//	                               that matches becomes TEXT. The first that
//	                               matches wins; without one it stays as it is.
//	                               = rewrite <*%*@*> -> $1@$2
//
// # Conditions, directly after C:
//
//	= if FLAG                      the block applies only when FLAG is set
//	= if not FLAG                  … is not set
//
// Several must all hold. A script passes over a block that does not apply.
//
// # Directives in greeting and blocks
//
//	= tls                          TLS handshake; flags and counters stay
//	= wait 3s                      pause
//	= drip 50ms                    from here pause before each byte we write,
//	                               and write it alone; 0s ends it
//	= close                        close
//	= reset                        close with RST
//	= hang                         say nothing until the client closes
//	= data                         read a message up to CRLF.CRLF
//	= relay                        hand the last message to Server.Relay, with
//	                               a Received line of our own. Before the "S:
//	                               250" the client waits for it, after it not
//	= set FLAG, = clear FLAG       a flag of this connection
//	= count NAME MAX [text]        count; above MAX send text, if any, and drop
//
// The sender and recipients of "= relay" are the MAIL FROM and RCPT TO lines
// that we answered 2yz since the last EHLO, HELO, RSET or message.
//
// # Services that are not SMTP
//
//	S: SSH-2.0-OpenSSH_9.2         = hang              S: \x16\x03\x01\x00\xff\c
//	= hang                                             = reset
//
// # Bounds
//
// A client line is at most 4096 bytes with its ending, a message 1 MiB, a
// pause one hour; 256 connections at a time; 10,000 lines in each list of a
// Score and in each connection. Whoever goes beyond is dropped. A client that
// is silent for ten minutes is left.
package smtptest
