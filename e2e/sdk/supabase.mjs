// supabase-js as applications use it, with its callbacks turned into something that a test can wait for.
import { createClient } from '@supabase/supabase-js';

const TIMEOUT_MS = 10_000;

// Each push that gets no answer keeps the process alive for this long.
export const PUSH_TIMEOUT_MS = 3000;

// A client of the server. `options` are those of its realtime part. Closed at the end of the test `t`.
export function supabase(t, server, { token = server.token(), ...options } = {}) {
  const client = createClient(server.url, token, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { reconnectAfterMs: () => 50, timeout: PUSH_TIMEOUT_MS, disconnectOnEmptyChannelsAfterMs: 1000, ...options },
  });
  t.after(() => client.realtime.disconnect());
  return client;
}

// Subscribes and waits until the server has agreed. What the channel tells later is in `statuses`, `broadcasts` and `systems`.
export async function subscribe(client, topic, config = {}) {
  const channel = client.channel(topic, { config });
  const statuses = new Queue(`a status of ${topic}`);
  const broadcasts = new Queue(`a broadcast on ${topic}`);
  const systems = new Queue(`a system message on ${topic}`);
  channel
    .on('broadcast', { event: '*' }, ({ event, payload }) => broadcasts.push({ event, payload }))
    .on('system', {}, (payload) => systems.push(payload))
    .subscribe((status, error) => statuses.push(error ? `${status}: ${error.message}` : status));
  const status = await statuses.next();
  if (status !== 'SUBSCRIBED') throw new Error(`the subscription of ${topic} came to ${status}`);
  return { channel, statuses, broadcasts, systems, send: (event, payload) => channel.send({ type: 'broadcast', event, payload }) };
}

// Values in the order in which they came, for one reader.
export class Queue {
  #values = [];
  #wake = () => {};

  constructor(what) {
    this.what = what;
  }

  push(value) {
    this.#values.push(value);
    this.#wake();
  }

  async next() {
    if (this.#values.length === 0) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited ${TIMEOUT_MS} ms for ${this.what}`)), TIMEOUT_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#values.shift();
  }

  async until(wanted) {
    for (;;) {
      const value = await this.next();
      if (wanted(value)) return value;
    }
  }
}
