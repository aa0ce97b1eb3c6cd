// The closing handshake: the client's code comes back without a reason, then the server ends the connection.
// RFC 6455 5.5.1 and 7.
import { after, test } from 'node:test';
import { startServer } from '../harness/server.mjs';
import { closePayload, converseInEveryDelivery, frame, got, put } from './raw_client.mjs';

const server = await startServer({ debugEcho: true });
after(() => server.stop());

const holds = (name, send, expect) => test(name, () => converseInEveryDelivery(server.port, { send, expect }));
const CLOSE = 8;

for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
  holds(`a close with ${code} is answered with ${code}`, [put.close(code)], [got.close(code)]);
  holds(`a close with ${code} and a reason is answered without a reason`, [put.close(code, 'so long')], [got.close(code)]);
}
for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535]) {
  holds(`a close with ${code}, which nobody may send, is answered with 1002`, [put.close(code)], [got.close(1002)]);
  holds(`a close with ${code} and a reason is answered with 1002`, [put.close(code, 'so long')], [got.close(1002)]);
}
// Registered since RFC 6455, for servers: a client has no use for them, so either answer will do.
for (const code of [1012, 1013, 1014]) {
  holds(`a close with ${code} is answered with ${code} or 1002`, [put.close(code)], [got.close(code, 1002)]);
}

holds('a close without a code is answered', [put.close()], [got.close(undefined, 1000)]);
holds('a close with half a code is refused', [frame(CLOSE, Buffer.from([3]))], [got.close(1002)]);
holds('a close with a reason of 123 bytes is answered', [put.close(1000, '*'.repeat(123))], [got.close(1000)]);
holds('a close with a reason of 124 bytes is refused', [put.close(1000, '*'.repeat(124))], [got.close(1002)]);
holds('a reason in Greek and emoji is accepted', [put.close(1000, 'αντίο 👋')], [got.close(1000)]);
const badReasons = { 'is no UTF-8': 'cebaff', 'holds a surrogate': 'eda080', 'ends in the midst of a character': 'e282' };
for (const [what, bytes] of Object.entries(badReasons)) {
  const reason = Buffer.from(bytes, 'hex');
  holds(`a close whose reason ${what} is refused`, [frame(CLOSE, Buffer.concat([closePayload(1000), reason]))], [got.close(1007, 1002)]);
}

holds('what was sent before a close is answered before it',
  [put.text('last words'), put.close(1000)], [got.text('last words'), got.close(1000)]);
holds('a second close is ignored', [put.close(1000), put.close(1001)], [got.close(1000)]);
holds('a ping after a close is ignored', [put.close(1000), put.ping('late')], [got.close(1000)]);
holds('a message after a close is ignored', [put.close(1000), put.text('late')], [got.close(1000)]);
holds('an invalid frame after a close is ignored', [put.close(1000), frame(3, 'late'), frame(15)], [got.close(1000)]);
holds('the rest of a fragmented message after a close is ignored',
  [put.text('first', { fin: false }), put.close(1000), put.continuation('second')], [got.close(1000)]);
holds('much data after a close is ignored', [put.close(1000), put.binary(Buffer.alloc(300_000))], [got.close(1000)]);
holds('a long message before a close is answered in full',
  [put.text('long'.repeat(65536)), put.close(1000)], [got.text('long'.repeat(65536)), got.close(1000)]);
holds('a close inside an unfinished message is answered', [put.binary('first', { fin: false }), put.close(4000)], [got.close(4000)]);
holds('much data after an invalid frame does not hide the answer to it', [frame(3), put.binary(Buffer.alloc(300_000))], [got.close(1002)]);
