// A long-poll client: what a WebSocket of `ws` is to phoenix.mjs, over HTTP requests.

import { EventEmitter } from 'node:events';
import http from 'node:http';
import { Client, V2 } from './phoenix.mjs';

export const LINES = 'application/x-ndjson';

// One request to the endpoint: {status (of HTTP), headers, json, text, elapsed in ms}.
export function longPoll(server, { method = 'GET', path = '/socket/longpoll', params = {}, headers = {}, body } = {}) {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const url = `${server.url}${path}?${new URLSearchParams(params)}`;
    const request = http.request(url, { method, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const json = /json/.test(response.headers['content-type'] ?? '') ? JSON.parse(text) : undefined;
        resolve({ status: response.statusCode, headers: response.headers, json, text, elapsed: performance.now() - started });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

// Opens a session and gives its client, which polls as long as it lives. Options: vsn, token (of the tenant), path, params,
// headers for each request; polls: false leaves the polling to the test.
export async function connectLongPoll(server, { vsn = V2, ...options } = {}) {
  const client = new Client(vsn, new LongPollSocket(server, { vsn, ...options }));
  await client.opened;
  return client;
}

export class LongPollSocket extends EventEmitter {
  readyState = 0;
  posted = Promise.resolve(); // what was sent is posted one after the other

  constructor(server, { vsn = V2, token = server.token(), path, params = {}, headers = {}, polls = true }) {
    super();
    this.server = server;
    this.options = { path, headers };
    this.params = { ...params, ...(vsn !== null && { vsn }), ...(token !== null && { apikey: token }) };
    this.open(polls);
  }

  async open(polls) {
    try {
      const { json } = await longPoll(this.server, { ...this.options, params: this.params });
      if (json.status !== 410) return this.emit('error', new Error(`refused: ${JSON.stringify(json)}`));
      this.token = json.token;
      this.readyState = 1;
      this.emit('open');
      if (polls) this.pollUntilTheEnd();
    } catch (error) {
      this.emit('error', error);
    }
  }

  // {status, messages}; the messages are handed to the client, too.
  async poll() {
    const { json } = await longPoll(this.server, { ...this.options, params: { ...this.params, token: this.token } });
    if (json.status === 200) for (const message of json.messages) this.emit('message', Buffer.from(message), false);
    if (json.status !== 200 && json.status !== 204) this.end(); // another session was opened, or refused
    return json;
  }

  async pollUntilTheEnd() {
    try {
      while (this.readyState === 1) await this.poll();
    } catch {
      this.end(); // the server has gone
    }
  }

  post(body, type = LINES, params = { ...this.params, token: this.token }) {
    const headers = { ...this.options.headers, 'content-type': type };
    return longPoll(this.server, { ...this.options, method: 'POST', params, headers, body });
  }

  send(data, { binary }) {
    const line = binary ? Buffer.from(data).toString('base64') : data;
    this.posted = this.posted.then(() => this.post(line)).catch(() => {});
  }

  end() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.emit('close', 410, Buffer.alloc(0));
  }

  terminate() {
    this.end();
  }
}
