// A Phoenix client that hides nothing: it sends any bytes, keeps every frame in order and never reconnects.
//
// Frames become {joinRef, ref, topic, event, payload, raw}; on V1 there is no joinRef. Binary frames have `kind`
// (2 or 4) as well, and their payload is a Buffer. `raw` is the frame as it came.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { WebSocket } from 'ws';

const TIMEOUT_MS = 10_000;

export const V1 = '1.0.0';
export const V2 = '2.0.0';

// A test that runs once for each protocol version, with (vsn, test context).
export function bothVersions(name, body) {
  test(name, async (t) => {
    for (const vsn of [V1, V2]) await t.test(`vsn ${vsn}`, (t) => body(vsn, t));
  });
}

export const isReplyTo = (ref) => (frame) => frame.event === 'phx_reply' && frame.ref === ref;

// Options: vsn, token, path, params as in Server.socketUrl(); headers and whatever else `ws` knows.
export async function connect(server, { vsn = V2, token, path, params, ...options } = {}) {
  const client = new Client(vsn, new WebSocket(server.socketUrl({ vsn, token, path, params }), options));
  await client.opened;
  return client;
}

export class Client {
  inbox = []; // frames that nobody has taken yet
  waiting = []; // who waits for a frame that has not come yet
  joinRefs = new Map(); // of each topic joined
  lastRef = 0;

  constructor(vsn, socket) {
    this.version = (vsn ?? V1).startsWith('1.') ? 1 : 2;
    this.socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => {
      this.receive(isBinary ? decodeBinary(data) : decodeText(data.toString(), this.version));
    });
    this.opened = new Promise((resolve, reject) => socket.once('open', resolve).on('error', reject));
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.closed.then(({ code }) => {
      for (const waiter of this.waiting.splice(0)) waiter.reject(new Error(`closed with ${code} before ${waiter.what}`));
    });
  }

  receive(frame) {
    const taker = this.waiting.findIndex((waiter) => waiter.predicate(frame));
    if (taker === -1) this.inbox.push(frame);
    else this.waiting.splice(taker, 1)[0].resolve(frame);
  }

  // Takes the first frame that fits, now or later; frames before it stay. Without a predicate: the very next frame.
  async next(predicate = () => true, what = predicate.toString()) {
    const at = this.inbox.findIndex(predicate);
    if (at !== -1) return this.inbox.splice(at, 1)[0];
    if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`closed, so there is no ${what}`);
    return withTimeout(
      new Promise((resolve, reject) => this.waiting.push({ predicate, what, resolve, reject })),
      () => `no frame for ${what}; the inbox has ${inspect(this.inbox, { depth: 5 })}`,
    );
  }

  // Waits for the frame that fits and takes it; fails when any frame came before it.
  async expectNothingBefore(predicate, what) {
    const frame = await this.next(predicate, what);
    assert.deepEqual(this.inbox, [], 'nothing was to come');
    return frame;
  }

  async waitForClose() {
    return withTimeout(this.closed, () => 'the socket is still open');
  }

  // Strings go out as text frames, Buffers as binary ones.
  send(data) {
    this.socket.send(data, { binary: typeof data !== 'string' });
  }

  nextRef() {
    return String(++this.lastRef);
  }

  // Sends a frame and returns its ref. joinRef: by default the one with which the topic was joined.
  push(topic, event, payload = {}, { ref = this.nextRef(), joinRef = this.joinRefs.get(topic) ?? null } = {}) {
    this.send(encodeText(this.version, { joinRef, ref, topic, event, payload }));
    return ref;
  }

  // The same with a payload that is sent letter by letter.
  pushSource(topic, event, payload) {
    const frame = encodeText(this.version, { joinRef: this.joinRefs.get(topic) ?? null, ref: this.nextRef(), topic, event, payload: '@' });
    this.send(frame.replace('"@"', () => payload));
  }

  // Sends a frame and gives its reply.
  async request(topic, event, payload, refs) {
    const ref = this.push(topic, event, payload, refs);
    return this.next(isReplyTo(ref), `the reply to ${event} on ${topic}, ref ${ref}`);
  }

  // Joins, whatever the answer. refs: {ref, joinRef} instead of a fresh number for both.
  async tryJoin(topic, payload = { config: {} }, refs) {
    const fresh = this.nextRef();
    const { ref, joinRef } = { ref: fresh, joinRef: fresh, ...refs };
    const reply = await this.request(topic, 'phx_join', payload, { ref, joinRef });
    if (reply.payload.status === 'ok') this.joinRefs.set(topic, joinRef);
    return reply;
  }

  async join(topic, payload, refs) {
    const reply = await this.tryJoin(topic, payload, refs);
    assert.equal(reply.payload.status, 'ok', `join of ${topic}: ${inspect(reply.payload)}`);
    return reply;
  }

  broadcast(topic, event, payload = {}, refs) {
    return this.push(topic, 'broadcast', { type: 'broadcast', event, payload }, refs);
  }

  async heartbeat() {
    return this.request('phoenix', 'heartbeat');
  }

  // Everything sent so far was handled, gave no frame, and the socket is up.
  async expectQuiet() {
    const ref = this.push('phoenix', 'heartbeat');
    return this.expectNothingBefore(isReplyTo(ref), 'the heartbeat reply');
  }

  // The same for one joined topic, whose frames are handled in order. The marker is a presence push without an event:
  // it has no effect, but a joined channel always answers it.
  async expectQuietAndJoined(topic) {
    const ref = this.push(topic, 'presence');
    const reply = await this.expectNothingBefore(isReplyTo(ref), `the answer of ${topic}`);
    assert.notEqual(reply.payload.response.reason, 'unmatched topic');
    return reply;
  }

  // The channel is closed by the server: the reason, then phx_close with the join_ref of the channel, and no other frame.
  async expectShutdown(topic, message) {
    const joinRef = this.joinRefs.get(topic);
    const system = await this.next();
    const channel = topic.replace(/^realtime:/, '');
    assert.equal(system.event, 'system');
    if (message instanceof RegExp) assert.match(system.payload.message, message);
    else assert.equal(system.payload.message, message);
    assert.deepEqual(system.payload, { extension: 'system', status: 'error', message: system.payload.message, channel });
    assertFrame(system, { joinRef, ref: null, topic });
    assertFrame(await this.next(), { joinRef, ref: joinRef, topic, event: 'phx_close', payload: {} });
    this.joinRefs.delete(topic);
    return system;
  }

  close(code, reason) {
    this.socket.close(code, reason);
    return this.waitForClose();
  }
}

// Compares the members named in `expected`; joinRef only where the version has one.
export function assertFrame(frame, expected) {
  for (const [member, value] of Object.entries(expected)) {
    if (member === 'joinRef' && !('joinRef' in frame)) continue;
    assert.deepEqual(frame[member], value, `${member} of ${inspect(frame, { depth: 5 })}`);
  }
}

export function assertError(reply, reason) {
  if (reason instanceof RegExp) assert.match(reply.payload.response.reason, reason);
  else assert.deepEqual(reply.payload, { status: 'error', response: { reason } });
  assert.equal(reply.payload.status, 'error');
}

export function encodeText(version, { joinRef, ref, topic, event, payload }) {
  if (version === 2) return JSON.stringify([joinRef, ref, topic, event, payload]);
  return JSON.stringify({ topic, event, payload, ref, join_ref: joinRef });
}

function decodeText(raw, version) {
  const json = JSON.parse(raw);
  if (version === 1) return { topic: json.topic, event: json.event, payload: json.payload, ref: json.ref, raw };
  const [joinRef, ref, topic, event, payload] = json;
  return { joinRef, ref, topic, event, payload, raw };
}

// Kind 0: opaque bytes under any event.
export function encodePush({ joinRef = '', ref = '', topic, event, payload = '' }) {
  return packed([0], [joinRef, ref, topic, event], [], payload);
}

// Kind 3: what SDKs send for a broadcast. encoding: 0 binary, 1 JSON.
export function encodeUserBroadcast({ joinRef = '', ref = '', topic, event, metadata = '', encoding = 1, payload = '' }) {
  return packed([3], [joinRef, ref, topic, event, metadata], [encoding], payload);
}

// Head, one length byte per field, tail, the fields, the payload.
function packed(head, fields, tail, payload) {
  const bytes = fields.map((field) => Buffer.from(field));
  return Buffer.concat([Buffer.from([...head, ...bytes.map((field) => field.length), ...tail]), ...bytes, Buffer.from(payload)]);
}

// Kinds 2 and 4. What the fields do not account for is the payload.
export function decodeBinary(raw) {
  const [kind, topicLength, eventLength, ...more] = raw;
  assert.ok(kind === 2 || kind === 4, `the server sent kind ${kind}`);
  const metadataLength = kind === 4 ? more[0] : 0;
  let at = kind === 4 ? 5 : 3;
  const take = (length) => raw.subarray(at, (at += length));
  const topic = take(topicLength).toString();
  const event = take(eventLength).toString();
  const metadata = take(metadataLength).toString();
  const frame = { kind, topic, event: 'broadcast', payload: raw.subarray(at), raw };
  return kind === 2 ? { ...frame, event } : { ...frame, userEvent: event, encoding: more[1], metadata };
}

function withTimeout(promise, message) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${TIMEOUT_MS} ms: ${message()}`)), TIMEOUT_MS);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
