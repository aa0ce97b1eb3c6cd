// An HTTP client that asks and asks and does not read the answers costs what fits into a small queue, and gets all of them
// when it reads after all.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { RawSocket } from '../ws-conformance/raw_client.mjs';
import { disturbingNobody } from './witness.mjs';

const REQUESTS = 60_000;
const PING = 'GET /api/ping HTTP/1.1\r\nHost: dev\r\n\r\n';

test('pipelined requests of a client that does not read wait, and each is answered once it does', async (t) => {
  const server = await startServer();
  after(() => server.stop());
  await disturbingNobody(t, server, { growthMiB: 16 }, async () => {
    const client = await RawSocket.connect(server.port);
    client.tcp.pause();
    const writing = client.write(Buffer.from(PING.repeat(REQUESTS)));  // the answers are some 25 MB
    for (let n = 0; n < 50; n += 1) assert.equal((await fetch(`${server.url}/healthcheck`)).status, 200);
    let answers = 0;
    let tail = '';
    const all = new Promise((resolve, reject) => {
      client.tcp.on('close', () => reject(new Error(`ended after ${answers} answers`)));
      client.tcp.on('data', (data) => {
        const text = tail + data.toString('latin1');
        answers += text.split('HTTP/1.1 200 OK').length - 1;
        tail = text.slice(-('HTTP/1.1 200 OK'.length - 1));
        if (answers === REQUESTS) resolve();
      });
    });
    client.tcp.resume();
    await all;
    await writing;
    client.destroy();
  });
});
