// What stands between the server and a database, and can be told to misbehave: to say nothing, to be gone, to break off.
//
// It counts, too: connections and, of those that ask questions, bytes and round trips, which begin when a client speaks
// after it has heard something. A stream of replication asks none: both ends say from time to time that they are there.

import { once } from 'node:events';
import net from 'node:net';

// Answers are held back for so long, so that all of what a client sends at once is there before it hears anything.
const LATENCY_MS = 15;
const REPLICATION = 'replication\0database\0'; // in the first message of a client

export async function startRelay(target) {
  const relay = new Relay(target);
  await relay.listen();
  return relay;
}

class Relay {
  host = '127.0.0.1';
  bytes = 0;
  connections = 0; // so far
  roundTrips = 0;
  isSilent = false;
  pairs = new Set();

  constructor(target) {
    this.target = target;
  }

  async listen() {
    this.listener = net.createServer((client) => this.accept(client)).listen(this.port ?? 0, this.host);
    await once(this.listener, 'listening');
    this.port = this.listener.address().port;
  }

  accept(client) {
    this.connections += 1;
    const server = net.connect(this.target.port, this.target.host);
    const pair = { client, server, heard: true };
    this.pairs.add(pair);
    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.on('error', () => {}); // its end follows
      from.on('close', () => {
        to.destroy();
        this.pairs.delete(pair);
      });
      if (this.isSilent) from.pause();
    }
    client.on('data', (data) => {
      pair.asks ??= !data.includes(REPLICATION);
      if (pair.asks) this.bytes += data.length;
      if (pair.asks && pair.heard) this.roundTrips += 1;
      pair.heard = false;
      server.write(data);
    });
    server.on('data', (data) => {
      if (pair.asks) this.bytes += data.length;
      setTimeout(() => {
        pair.heard = true;
        client.write(data);
      }, LATENCY_MS);
    });
  }

  // Connections stay open, new ones are taken, and nothing goes through.
  silence() {
    this.isSilent = true;
    for (const { client, server } of this.pairs) for (const socket of [client, server]) socket.pause();
  }

  speak() {
    this.isSilent = false;
    for (const { client, server } of this.pairs) for (const socket of [client, server]) socket.resume();
  }

  breakOff() {
    for (const { client, server } of this.pairs) for (const socket of [client, server]) socket.destroy();
  }

  // Nobody listens any more, until listen().
  async vanish() {
    this.listener.close();
    this.breakOff();
    await once(this.listener, 'close');
  }

  async stop() {
    if (this.listener.listening) await this.vanish();
  }
}
