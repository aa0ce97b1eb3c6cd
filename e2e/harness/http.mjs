// HTTP/1.1 by hand over a TCP connection, for requests that no HTTP client would send.

import { once } from 'node:events';
import net from 'node:net';

const TIMEOUT_MS = 10_000;

// One request on a connection of its own: {status, headers, body, elapsed in ms}.
export async function request(server, { method = 'GET', path = '/', headers = {}, body = '' } = {}) {
  const connection = await openConnection(server);
  try {
    connection.write(requestText({ method, path, headers: { Host: server.host, ...headers }, body }));
    return await connection.response();
  } finally {
    connection.close();
  }
}

// Headers of a WebSocket upgrade; later ones win and undefined takes one away.
export const upgradeHeaders = (more = {}) => ({
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': 'dGhpcyBpcyBhIG5vbmNlLg==',
  'Sec-WebSocket-Version': '13',
  ...more,
});

// Headers: an object, or pairs where a name must come twice.
export function requestText({ method = 'GET', path = '/', headers = {}, body = '' }) {
  const pairs = (Array.isArray(headers) ? headers : Object.entries(headers)).filter(([, value]) => value !== undefined);
  return `${method} ${path} HTTP/1.1\r\n${pairs.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

export async function openConnection(server) {
  const socket = net.connect(server.port, server.host);
  await once(socket, 'connect');
  return new Connection(socket);
}

class Connection {
  received = Buffer.alloc(0);
  started = performance.now();

  constructor(socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => (this.received = Buffer.concat([this.received, data])));
    socket.on('error', () => {}); // a reset ends a connection like any close does
    this.ended = new Promise((resolve) => socket.on('close', resolve)).then(() => (this.atEnd = true));
  }

  write(bytes) {
    this.started = performance.now();
    this.socket.write(bytes);
  }

  // The first `count` bytes that nobody has read yet.
  async read(count) {
    await this.receiveUntil(() => this.received.length >= count);
    const bytes = this.received.subarray(0, count);
    this.received = this.received.subarray(count);
    return bytes;
  }

  async response() {
    await this.receiveUntil(() => this.received.includes('\r\n\r\n'));
    const elapsed = performance.now() - this.started;
    const head = (await this.read(this.received.indexOf('\r\n\r\n') + 4)).toString('latin1');
    const [statusLine, ...lines] = head.trimEnd().split('\r\n');
    const pair = (line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()];
    const headers = Object.fromEntries(lines.map(pair));
    const status = Number(statusLine.split(' ')[1]);
    const body = (await this.read(Number(headers['content-length'] ?? 0))).toString();
    return { status, headers, body, elapsed };
  }

  // The next frame of the server after an upgrade, up to 125 bytes: {opcode, payload}.
  async frame() {
    const [first, length] = await this.read(2);
    return { opcode: first & 0x0f, payload: await this.read(length) };
  }

  async receiveUntil(condition) {
    const timer = setTimeout(() => this.socket.destroy(), TIMEOUT_MS);
    try {
      while (!condition()) {
        if (this.atEnd) throw new Error(`the connection ended after ${JSON.stringify(this.received.toString('latin1'))}`);
        await Promise.race([new Promise((resolve) => this.socket.once('data', resolve)), this.ended]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  close() {
    this.socket.destroy();
  }
}
