// Clients that open a connection and do not get on with it. protocol.md 1.5, http-api.md 1.1, decisions 42.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startServer, until } from '../harness/server.mjs';
import { put, RawClient, RawSocket, readResponse, socketPath } from '../ws-conformance/raw_client.mjs';
import { disturbingNobody, hostileTo } from './witness.mjs';

const HEADER_TIMEOUT_MS = 600;
const server = await startServer({ env: { HTTP_HEADER_TIMEOUT_MS: HEADER_TIMEOUT_MS } });
after(() => server.stop());
const hostile = hostileTo(server);

const slowRequests = {
  'says nothing at all': [],
  'stops in the midst of its headers': ['GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n'],
  'sends one byte at a time': [...`GET / HTTP/1.1\r\nHost: ${'x'.repeat(10_000)}`],
  'sends one header at a time': ['GET / HTTP/1.1\r\n', ...Array.from({ length: 90 }, (_, i) => `X-Header-${i}: ${i}\r\n`)],
};

for (const [what, parts] of Object.entries(slowRequests)) {
  hostile(`a client that ${what} gets 408 when its time is up, and is closed`, { growthMiB: 4 }, async () => {
    const started = performance.now();
    const socket = await RawSocket.connect(server.port);
    let answered = false;
    const trickling = (async () => {
      for (const part of parts) {
        if (answered) return;
        await socket.write(Buffer.from(part));
        await sleep(20);  // the pace of this client
      }
    })();
    const { status, headers } = await readResponse(socket);
    const elapsed = performance.now() - started;
    answered = true;
    assert.equal(status, 408);
    assert.equal(headers.connection?.toLowerCase(), 'close');
    assert.ok(elapsed > HEADER_TIMEOUT_MS * 0.9 && elapsed < HEADER_TIMEOUT_MS + 1500, `408 after ${elapsed} ms`);
    await trickling;
    await socket.rest();
    socket.destroy();
  });
}

hostile('a WebSocket client that sends one byte at a time is served like any other', { growthMiB: 4 }, async () => {
  const client = await RawClient.open(server.port, { path: socketPath(server), size: 1 });
  const say = (...frame) => client.write(put.text(JSON.stringify(frame)), 1);
  await say('1', '1', 'realtime:slow', 'phx_join', { config: { broadcast: { self: true } } });
  assert.equal((await client.json())[4].status, 'ok');
  await say('1', '2', 'realtime:slow', 'broadcast', { event: 'snail' });
  assert.deepEqual(await client.json(), [null, null, 'realtime:slow', 'broadcast', { event: 'snail' }]);
  client.destroy();
});

test('a WebSocket message that takes longer than the time for headers is received', async () => {
  const client = await RawClient.open(server.port, { path: socketPath(server) });
  const bytes = put.text(JSON.stringify([null, '7', 'phoenix', 'heartbeat', {}]));
  for (let at = 0; at < bytes.length; at += 10) {
    await client.write(bytes.subarray(at, at + 10));
    await sleep(HEADER_TIMEOUT_MS / 3);  // the pace of this client
  }
  assert.equal((await client.json())[1], '7');
  client.destroy();
});

test('ten thousand connections that never ask for anything get their 408 and leave nothing behind', async (t) => {
  const count = 10_000;
  const patient = await startServer({ env: { HTTP_HEADER_TIMEOUT_MS: 4000, MAX_CONNECTIONS: 16384 } });
  t.after(() => patient.stop());
  const before = (await patient.metrics()).value('realtime_worker_connections');
  await disturbingNobody(t, patient, { growthMiB: 24 }, async () => {
    const script = fileURLToPath(new URL('crowd.mjs', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script, String(patient.port), String(count)], { timeout: 60_000 });
    const { answers, openAtOnce, elapsedMs } = JSON.parse(stdout);
    t.diagnostic(`${openAtOnce} were open at once; all were gone after ${elapsedMs} ms`);
    assert.deepEqual(answers, { 'HTTP/1.1 408': count });
    assert.equal(openAtOnce, count);
  });
  await until(async () => (await patient.metrics()).value('realtime_worker_connections') <= before, 'all connections to be gone');
});
