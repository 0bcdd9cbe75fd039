// Reads {document, pack, messages: [{topic, type, headers, payload}]} on standard input; says on standard output what the official AsyncAPI parser and a JSON
// Schema validator think of it: {version, diagnostics, channels, examples, refused}. A message is held against the one channel whose address its topic has, and the one message there of its content type.
'use strict';
const { Parser } = require('@asyncapi/parser');
const Ajv = require('ajv');

const read = async (stream) => { let text = ''; for await (const part of stream) text += part; return text; };

const pattern = (address) => new RegExp('^' + address.split('/').map((level) => level.startsWith('{') ? '[^/]+' : level).join('/') + '$');

(async () => {
  const given = JSON.parse(await read(process.stdin));
  const { document, diagnostics } = await new Parser().parse(given.document);
  const problems = diagnostics.map((d) => ({ code: d.code, severity: d.severity, message: d.message, path: d.path.join('.') }));
  if (!document) { console.log(JSON.stringify({ diagnostics: problems })); return; }
  const ajv = new Ajv({ strict: false, allErrors: false });
  const refused = [];
  const judge = (what, schema, value) => { if (!ajv.compile(schema)(value)) refused.push({ what, errors: ajv.errorsText() }); };
  let examples = 0;
  const rows = document.channels().all().map((channel) => ({
    address: channel.address(), test: pattern(channel.address()), messages: channel.messages().all(), seen: 0 }));
  for (const row of rows) {
    for (const message of row.messages) {
      for (const example of message.examples().all()) {
        examples += 1;
        judge(`${message.name()} ${example.name()}`, message.payload().json(), example.payload());
        if (message.hasHeaders()) judge(`${message.name()} ${example.name()} headers`, message.headers().json(), example.headers());
      }
    }
  }
  for (const message of given.messages) {
    const fitting = rows.filter((row) => row.test.test(message.topic));
    if (fitting.length !== 1) refused.push({ what: message.topic, errors: `fits ${fitting.length} channels` });
    for (const row of fitting) {
      row.seen += 1;
      const kinds = row.messages.filter((one) => one.contentType() === message.type);
      if (kinds.length !== 1) { refused.push({ what: message.topic, errors: `fits ${kinds.length} messages of type ${message.type}` }); continue; }
      judge(message.topic, kinds[0].payload().json(), message.payload);
      if (kinds[0].hasHeaders()) judge(`${message.topic} headers`, kinds[0].headers().json(), message.headers);
    }
  }
  const pack = new Ajv({ strict: true, strictTypes: false }).compile(given.pack);
  const packs = given.packs.map((one) => pack(one));
  console.log(JSON.stringify({ version: document.version(), diagnostics: problems, examples, refused, packs,
    channels: rows.map(({ address, seen }) => ({ address, seen })) }));
})().catch((error) => { console.error(error); process.exit(1); });
