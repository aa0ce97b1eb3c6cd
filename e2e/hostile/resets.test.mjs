// Clients that vanish in the midst of things. decisions 11 and 12.
import { after, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { startServer, until } from '../harness/server.mjs';
import { put, RawClient, RawSocket, socketPath, upgradeRequest } from '../ws-conformance/raw_client.mjs';
import { disturbingNobody } from './witness.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const path = socketPath(server);
const message = (event, payload) => put.text(JSON.stringify(['1', '1', 'realtime:brief', event, payload]));
const join = message('phx_join', { config: { broadcast: { self: true } } });
const broadcast = message('broadcast', { text: 'x'.repeat(2000) });

// Where a client is when its connection is reset.
const moments = {
  'right after it connected': async () => RawSocket.connect(server.port),
  'in the midst of its request': async () => {
    const socket = await RawSocket.connect(server.port);
    await socket.write(Buffer.from(upgradeRequest(path)).subarray(0, 100));
    return socket;
  },
  'before it saw the answer to its handshake': async () => {
    const socket = await RawSocket.connect(server.port);
    await socket.write(Buffer.from(upgradeRequest(path)));
    return socket;
  },
  'in the midst of a frame': async () => {
    const client = await RawClient.open(server.port, { path });
    await client.write(join.subarray(0, 20));
    return client;
  },
  'while its join is answered': async () => {
    const client = await RawClient.open(server.port, { path });
    await client.write(join);
    return client;
  },
  'while its broadcasts come back': async () => {
    const client = await RawClient.open(server.port, { path, early: join });
    await client.json();
    await client.write(Buffer.concat(Array(20).fill(broadcast)));
    return client;
  },
  'in the midst of the closing handshake': async () => {
    const client = await RawClient.open(server.port, { path });
    await client.write(put.close(1000));
    return client;
  },
};

test('a thousand connections that are reset at any moment leave no connection and no session behind', async (t) => {
  const counts = async () => {
    const metrics = await server.metrics();
    return ['realtime_worker_connections', 'realtime_worker_sessions'].map((name) => metrics.value(name));
  };
  const before = await counts();
  await disturbingNobody(t, server, { growthMiB: 8 }, async () => {
    const kinds = Object.values(moments);
    for (let i = 0; i < 1000; i += 1) (await kinds[i % kinds.length]()).reset();
  });
  await until(async () => isDeepStrictEqual(await counts(), before), 'connections and sessions to be as many as before');
});
