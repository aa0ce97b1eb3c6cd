// A WebSocket client that can break every rule: it writes exactly the bytes it is given, in pieces of any size, and shows
// each frame that comes back.
//
// `put` makes the bytes of a client's frame, `got` names a frame that the server should send, `converse` plays one
// conversation. Nothing here waits for a fixed time: that a server stays silent is shown by the answer to a later frame.
//
// Where the handshake agrees on compression, `frame` inflates what the server compressed, each message on its own.
//
// RFC 6455 4 and 5, RFC 7692 7.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { requestText, upgradeHeaders } from '../harness/http.mjs';

const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PATIENCE_MS = 10_000;
const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
const NAMES = Object.fromEntries(Object.entries(OPCODES).map(([name, opcode]) => [opcode, name]));

export const acceptOf = (key) => createHash('sha1').update(key + ACCEPT_GUID).digest('base64');

// One frame as a client sends it. `announced` lies about the length, `lengthBits` forces its 7, 16 or 64 bit form.
export function frame(opcode, payload = '', { fin = true, rsv = 0, masked = true, announced, lengthBits } = {}) {
  const body = Buffer.from(payload);
  const length = BigInt(announced ?? body.length);
  const bits = lengthBits ?? (length < 126n ? 7 : length < 65536n ? 16 : 64);
  const header = Buffer.alloc({ 7: 2, 16: 4, 64: 10 }[bits]);
  header[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  header[1] = (masked ? 0x80 : 0) | (bits === 7 ? Number(length) : bits === 16 ? 126 : 127);
  if (bits === 16) header.writeUInt16BE(Number(length), 2);
  if (bits === 64) header.writeBigUInt64BE(length, 2);
  if (!masked) return Buffer.concat([header, body]);
  const mask = randomBytes(4);
  for (let i = 0; i < body.length; i += 1) body[i] ^= mask[i & 3];
  return Buffer.concat([header, mask, body]);
}

export function closePayload(code, reason = '') {
  if (code === undefined) return Buffer.alloc(0);
  const bytes = Buffer.from([code >> 8, code & 0xff]);
  return Buffer.concat([bytes, Buffer.from(reason)]);
}

export const put = {
  text: (payload, options) => frame(OPCODES.text, payload, options),
  binary: (payload, options) => frame(OPCODES.binary, payload, options),
  continuation: (payload, options) => frame(OPCODES.continuation, payload, options),
  ping: (payload, options) => frame(OPCODES.ping, payload, options),
  pong: (payload, options) => frame(OPCODES.pong, payload, options),
  close: (code, reason, options) => frame(OPCODES.close, closePayload(code, reason), options),

  // A message cut into fragments of `size` bytes; `rsv` goes into the first.
  fragments(opcode, payload, size, { rsv = 0 } = {}) {
    const frames = [];
    for (let at = 0; at === 0 || at < payload.length; at += size) {
      const fin = at + size >= payload.length;
      frames.push(frame(at === 0 ? opcode : OPCODES.continuation, payload.subarray(at, at + size), { fin, rsv: at === 0 ? rsv : 0 }));
    }
    return frames;
  },
};
export const { text: TEXT, binary: BINARY } = OPCODES;

// RFC 7692: RSV1 on its first frame marks a compressed message. It is DEFLATE up to a flush, whose last bytes are left out.
export const COMPRESSED = { rsv: 4 };
const FLUSH_TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

export function deflate(payload, options) {
  const bytes = deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
  assert.ok(bytes.subarray(-4).equals(FLUSH_TAIL), 'zlib ends a flush in another way');
  return bytes.subarray(0, -4);
}

// Fails unless all of the payload is needed to inflate it. With a small window the output comes in small pieces, because
// zlib looks beyond its window as long as it can.
export function inflate(payload, { windowBits = 15 } = {}) {
  const bytes = Buffer.concat([payload, FLUSH_TAIL]);
  const options = { windowBits, finishFlush: constants.Z_SYNC_FLUSH, info: true, ...(windowBits < 15 && { chunkSize: 64 }) };
  const { buffer, engine } = inflateRawSync(bytes, options);
  assert.equal(engine.bytesWritten, bytes.length, 'the DEFLATE stream ended before the message');
  return buffer;
}

// `put.compressed.text` is `put.text` of a message that it compresses.
put.compressed = {
  text: (payload, options) => put.text(deflate(payload), { ...COMPRESSED, ...options }),
  binary: (payload, options) => put.binary(deflate(payload), { ...COMPRESSED, ...options }),
};

// `got.close(1002)` wants that code and no reason; of several codes each will do; `undefined` stands for an empty payload.
export const got = {
  text: (payload) => ({ opcode: OPCODES.text, payload: Buffer.from(payload) }),
  binary: (payload) => ({ opcode: OPCODES.binary, payload: Buffer.from(payload) }),
  pong: (payload = '') => ({ opcode: OPCODES.pong, payload: Buffer.from(payload) }),
  close: (...codes) => ({ opcode: OPCODES.close, anyOf: codes.map((code) => closePayload(code)) }),
};

// An expected message that has to come compressed, or has not to. Without either the server may choose.
export const compressed = (expected) => ({ ...expected, compressed: true });
export const plain = (expected) => ({ ...expected, compressed: false });

export function* pieces(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function show({ opcode, payload, anyOf }) {
  const bytes = anyOf ? anyOf.map((one) => one.toString('hex') || 'empty').join(' or ')
    : payload.length > 40 ? `${payload.subarray(0, 40).toString('hex')}… (${payload.length} bytes)` : payload.toString('hex');
  return `${NAMES[opcode] ?? `opcode ${opcode}`} ${bytes}`;
}

function assertFrame(actual, expected) {
  const same = actual.opcode === expected.opcode && (expected.anyOf ?? [expected.payload]).some((one) => one.equals(actual.payload));
  assert.ok(same, `expected ${show(expected)}, got ${show(actual)}`);
  if (expected.compressed !== undefined) {
    assert.equal(actual.compressed, expected.compressed, `whether it was compressed: ${show(actual)}`);
  }
}

// A TCP connection that is read by count, never by time.
export class RawSocket {
  #chunks = [];
  #length = 0;
  #end;  // how the peer ended: 'fin' or 'reset'
  #wake = () => {};

  static async connect(port) {
    const socket = new RawSocket(net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }));
    await new Promise((resolve, reject) => socket.tcp.once('connect', resolve).once('error', reject));
    return socket;
  }

  constructor(tcp) {
    this.tcp = tcp;
    tcp.on('data', (chunk) => { this.#chunks.push(chunk); this.#length += chunk.length; this.#wake(); });
    tcp.on('end', () => this.#ended('fin'));
    tcp.on('error', () => this.#ended('reset'));
    tcp.on('close', () => this.#ended('reset'));
  }

  #ended(how) { this.#end ??= how; this.#wake(); }

  // Each piece is a write of its own: Node would gather them if we did not wait for each to reach the kernel.
  async write(bytes, size = bytes.length) {
    for (const piece of pieces(bytes, size)) {
      if (this.tcp.destroyed) return;
      await new Promise((resolve) => this.tcp.write(piece, resolve));
    }
  }

  // Waits until `ready` gives a value other than undefined.
  async #until(ready, what, patienceMs = PATIENCE_MS) {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const value = ready();
      if (value !== undefined) return value;
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`nothing came while waiting for ${what}`)), deadline - Date.now());
        this.#wake = () => { clearTimeout(timer); resolve(); };
      });
    }
  }

  async bytes(count, what = `${count} bytes`) {
    await this.#until(() => {
      if (this.#length >= count) return true;
      assert.ok(!this.#end, `the connection ended (${this.#end}) while waiting for ${what}`);
      return undefined;
    }, what);
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = all.length > count ? [all.subarray(count)] : [];
    this.#length = all.length - count;
    return all.subarray(0, count);
  }

  async lines() {  // up to and with the first empty line
    let head = '';
    while (!head.endsWith('\r\n\r\n')) head += (await this.bytes(1, 'the end of the HTTP headers')).toString('latin1');
    return head;
  }

  // What is left until the peer ends, and how it ends.
  async rest(patienceMs) {
    const end = await this.#until(() => this.#end, 'the end of the connection', patienceMs);
    return { bytes: Buffer.concat(this.#chunks), end };
  }

  destroy() { this.tcp.destroy(); }

  reset() { this.tcp.resetAndDestroy(); }
}

// Sends `text` as it stands and reads one response; a body needs a content-length.
export async function httpExchange(socket, text, size) {
  await socket.write(Buffer.from(text, 'latin1'), size);
  return readResponse(socket);
}

export async function readResponse(socket) {
  const [statusLine, ...lines] = (await socket.lines()).trimEnd().split('\r\n');
  const pair = (line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()];
  const headers = Object.fromEntries(lines.map(pair));
  const body = (await socket.bytes(Number(headers['content-length'] ?? 0))).toString();
  return { status: Number(statusLine.split(' ')[1]), statusLine, lines, headers, body };
}

// Headers of undefined are left out.
export const upgradeRequest = (path, headers) => requestText({ path, headers: { Host: '127.0.0.1', ...upgradeHeaders(headers) } });

// The channel endpoint, with a good token.
export function socketPath(server) {
  const { pathname, search } = new URL(server.socketUrl());
  return pathname + search;
}

export class RawClient extends RawSocket {
  extensions;  // what the server agreed to, as it said it

  // `early` goes out in the same write as the request.
  static async open(port, { path = '/debug/echo', headers, early = Buffer.alloc(0), size } = {}) {
    const { tcp } = await RawSocket.connect(port);
    const client = new RawClient(tcp);
    await client.write(Buffer.concat([Buffer.from(upgradeRequest(path, headers)), early]), size);
    const response = await readResponse(client);
    assert.equal(response.status, 101, `the handshake was refused: ${response.statusLine} ${response.body}`);
    client.extensions = response.headers['sec-websocket-extensions'];
    return client;
  }

  // The window that the server keeps to; undefined where it may not compress.
  get #windowBits() {
    if (!this.extensions?.startsWith('permessage-deflate')) return undefined;
    return Number(/server_max_window_bits=(\d+)/.exec(this.extensions)?.[1] ?? 15);
  }

  // The next frame, which has to be one that a server may send. `wire` is its payload before it was inflated.
  async frame() {
    const [first, second] = await this.bytes(2, 'a frame');
    const compressed = this.#windowBits !== undefined && (first & 0x40) !== 0;
    assert.equal(first & (compressed ? 0x30 : 0x70), 0, 'the server set a reserved bit');
    assert.equal(second & 0x80, 0, 'the server masked a frame');
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    let length = second;
    if (length === 126) {
      length = (await this.bytes(2)).readUInt16BE();
      assert.ok(length > 125, 'the server wrote a length longer than it had to');
    } else if (length === 127) {
      length = Number((await this.bytes(8)).readBigUInt64BE());
      assert.ok(length > 65535, 'the server wrote a length longer than it had to');
    }
    assert.ok(opcode < 8 || (fin && length < 126), 'the server broke the rules for control frames');
    assert.ok(!compressed || ([TEXT, BINARY].includes(opcode) && fin), 'the server may compress whole messages only');
    const wire = await this.bytes(length);
    return { opcode, fin, compressed, wire, payload: compressed ? inflate(wire, { windowBits: this.#windowBits }) : wire };
  }

  async expect(...frames) {
    for (const expected of frames) assertFrame(await this.frame(), expected);
  }

  async json() {
    const { opcode, payload } = await this.frame();
    assert.equal(NAMES[opcode], 'text', `expected text, got ${show({ opcode, payload })}`);
    return JSON.parse(payload);
  }

  sendJson(value) { return this.write(put.text(JSON.stringify(value))); }

  // After the closing handshake the server ends the connection, and nothing else comes.
  async expectEnd() {
    const { bytes, end } = await this.rest();
    assert.equal(bytes.toString('hex'), '', 'nothing may follow the close frame');
    assert.equal(end, 'fin', 'the server should end the connection in order, not by a reset');
    this.tcp.end();
  }
}

// The ways in which the same bytes may reach a server. They must not make a difference.
export const deliveries = {
  'frame by frame': async (client, frames) => { for (const bytes of frames) await client.write(bytes); },
  'all at once': (client, frames) => client.write(Buffer.concat(frames)),
  'in small pieces': (client, frames) => {
    const bytes = Buffer.concat(frames);
    return client.write(bytes, bytes.length < 2000 ? 1 : 997);
  },
};

// Sends the frames and checks each answer. If the conversation does not end with the server's close frame, we close it: the
// answer to that is the first frame after the expected ones, so nothing unexpected came in between.
export async function converse(port, { send, expect, deliver = deliveries['frame by frame'], path, headers }) {
  const client = await RawClient.open(port, { path, headers });
  try {
    const sent = deliver(client, send);
    await client.expect(...expect);
    await sent;
    await client.write(put.close(1000));  // the answer, where the server closes; it ignores a second one
    if (!expect.at(-1)?.anyOf) await client.expect(got.close(1000));
    await client.expectEnd();
  } finally {
    client.destroy();
  }
}

// The same conversation in every delivery.
export async function converseInEveryDelivery(port, conversation) {
  for (const [how, deliver] of Object.entries(deliveries)) {
    try {
      await converse(port, { ...conversation, deliver });
    } catch (error) {
      error.message = `sent ${how}: ${error.message}`;
      throw error;
    }
  }
}
