// Small servers on smtp-server and nodemailer. Each argument is MODE@ADDRESS@PORT:
//
//	sink      takes everything and drops it
//	relay     passes everything on
//	any-auth  takes any user and password, and then passes on
"use strict";
const dns = require("dns").promises, { SMTPServer } = require("smtp-server"), nodemailer = require("nodemailer");

async function deliver(from, to, raw) {
  const hosts = (await dns.resolveMx(to.split("@").pop())).sort((a, b) => a.priority - b.priority);
  const transport = nodemailer.createTransport({ host: hosts[0].exchange, port: 25, ignoreTLS: true, name: "mx.org.example" });
  await transport.sendMail({ envelope: { from, to: [to] }, raw });
}

for (const word of process.argv.slice(2)) {
  const [mode, address, port] = word.split("@");
  new SMTPServer({
    name: "mx.org.example", hideSTARTTLS: true, allowInsecureAuth: true, authOptional: mode !== "any-auth", disabledCommands: mode === "any-auth" ? [] : ["AUTH"],
    onAuth: (auth, session, done) => done(null, { user: auth.username }),
    onData(stream, session, done) {
      const parts = [], { mailFrom, rcptTo } = session.envelope;
      stream.on("data", (part) => parts.push(part));
      stream.on("end", () => {
        done();
        if (mode === "sink") return;
        for (const to of rcptTo) deliver(mailFrom ? mailFrom.address : "", to.address, Buffer.concat(parts)).catch((e) => console.error(to.address, e.message));
      });
    },
  }).on("error", (e) => console.error(e.message)).listen(+port, address);
}
