// Who gets compression, and in which words it is agreed on. RFC 7692 5 and 7.1, RFC 6455 9.1.
//
// Each answer is put to the test: where the server agreed it reads a compressed message, elsewhere it refuses one.
import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { requestText, upgradeHeaders } from '../harness/http.mjs';
import { startServer } from '../harness/server.mjs';
import { compressed, got, plain, put, RawClient, RawSocket, readResponse, socketPath } from './raw_client.mjs';

const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const THRESHOLD = 64;

const [server, silent] = await Promise.all([
  startServer({ debugEcho: true, args: ['--compression'], env: { WEBSOCKET_COMPRESSION_THRESHOLD_BYTES: THRESHOLD } }),
  startServer({ debugEcho: true }),
]);
after(async () => assert.deepEqual(await Promise.all([server.stop(), silent.stop()]), [0, 0]));

// Opens with one extensions header for each of the offers. The answers are the values of all such headers that came back.
async function open(offers, { to = server, path = '/debug/echo' } = {}) {
  const client = new RawClient((await RawSocket.connect(to.port)).tcp);
  const offered = offers.map((offer) => ['Sec-WebSocket-Extensions', offer]);
  const headers = [['Host', '127.0.0.1'], ...Object.entries(upgradeHeaders()), ...offered];
  await client.write(Buffer.from(requestText({ path, headers }), 'latin1'));
  const { status, lines } = await readResponse(client);
  const answers = lines.map((line) => /^sec-websocket-extensions: *(.*)$/i.exec(line)?.[1]).filter((value) => value !== undefined);
  [client.extensions] = answers;
  return { client, status, answers };
}

async function agrees(offers, answer = ANSWER, options = {}) {
  const { client, status, answers } = await open(offers, options);
  assert.deepEqual({ offers, status, answers }, { offers, status: 101, answers: [answer] });
  await client.write(Buffer.concat([put.compressed.text('Hello'), put.close(1000)]));
  await client.expect(got.text('Hello'), got.close(1000));
  await client.expectEnd();
}

async function declines(offers, options = {}) {
  const { client, status, answers } = await open(offers, options);
  assert.deepEqual({ offers, status, answers }, { offers, status: 101, answers: [] });
  const long = 'long enough to be compressed '.repeat(100);
  await client.write(Buffer.concat([put.text(long), put.compressed.text('Hello'), put.ping('late')]));
  await client.expect(got.text(long), got.close(1002));
  await client.expectEnd();
}

const accepts = (name, ...rows) => test(name, async () => { for (const [offers, answer] of rows) await agrees([offers].flat(), answer); });
const refuses = (name, ...rows) => test(name, async () => { for (const offers of rows) await declines([offers].flat()); });
const withWindow = (bits) => `${ANSWER}; server_max_window_bits=${bits}`;
const everyWindow = [8, 9, 10, 11, 12, 13, 14, 15];

suite('an offer', () => {
  accepts('without parameters is accepted', ['permessage-deflate']);

  accepts('that asks for no context takeover is answered like one that does not',
    ['permessage-deflate; server_no_context_takeover'],
    ['permessage-deflate; client_no_context_takeover'],
    ['permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
    ['permessage-deflate; client_no_context_takeover; server_no_context_takeover']);

  accepts('that leaves the window of the client to the server leaves it to the client',
    ['permessage-deflate; client_max_window_bits'],
    ...everyWindow.map((bits) => [`permessage-deflate; client_max_window_bits=${bits}`]));

  accepts('that asks for a window of the server gets it',
    ...everyWindow.map((bits) => [`permessage-deflate; server_max_window_bits=${bits}`, withWindow(bits)]));

  accepts('with all parameters, in any order, is accepted',
    ['permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9',
      withWindow(10)],
    ['permessage-deflate; client_max_window_bits; server_max_window_bits=12; client_no_context_takeover', withWindow(12)]);

  accepts('may put its values in quotes',
    ['permessage-deflate; client_max_window_bits="10"'],
    ['permessage-deflate; server_max_window_bits="10"', withWindow(10)],
    ['permessage-deflate; server_max_window_bits="8"; client_max_window_bits="15"', withWindow(8)]);

  accepts('is read without regard to letter case',
    ['Permessage-Deflate'],
    ['PERMESSAGE-DEFLATE; CLIENT_MAX_WINDOW_BITS'],
    ['permessage-deflate; Server_Max_Window_Bits=11; Client_No_Context_Takeover', withWindow(11)]);

  accepts('may be written with many spaces and tabs or without any',
    ['permessage-deflate;client_max_window_bits;server_max_window_bits=9', withWindow(9)],
    ['  permessage-deflate  ;   server_no_context_takeover  ', ANSWER],
    ['\tpermessage-deflate\t;\tserver_max_window_bits=9\t', withWindow(9)]);

  refuses('with a parameter that nobody knows is declined',
    'permessage-deflate; x',
    'permessage-deflate; x=1',
    'permessage-deflate; client_max_window_bits; level=9',
    'permessage-deflate; server_max_window_bit=9',
    'permessage-deflate; server_max_window_bits=10; x="10"');

  refuses('that says something twice is declined',
    'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
    'permessage-deflate; client_no_context_takeover; client_no_context_takeover',
    'permessage-deflate; client_max_window_bits; client_max_window_bits=10',
    'permessage-deflate; client_max_window_bits=10; client_max_window_bits=10',
    'permessage-deflate; server_max_window_bits=10; server_max_window_bits=10',
    'permessage-deflate; server_max_window_bits=10; client_max_window_bits; server_max_window_bits=9',
    'permessage-deflate; server_no_context_takeover; SERVER_NO_CONTEXT_TAKEOVER');

  const noWindows = ['7', '16', '0', '1', '100', '08', '010', '015', '-9', '+9', '9.0', '0x9', '1e1', 'nine', '9 9', '', '""', '" "', '"08"', '"16"'];
  refuses('that wants an impossible window of the server is declined',
    'permessage-deflate; server_max_window_bits',
    'permessage-deflate; client_max_window_bits; server_max_window_bits',
    ...noWindows.map((bits) => `permessage-deflate; server_max_window_bits=${bits}`));

  refuses('that hints at an impossible window of the client is declined',
    ...noWindows.map((bits) => `permessage-deflate; client_max_window_bits=${bits}`));

  refuses('that gives a value to a parameter without one is declined',
    ...['server', 'client'].flatMap((who) => ['1', 'true', 'false', '10', '"yes"'].map((value) =>
      `permessage-deflate; ${who}_no_context_takeover=${value}`)));

  refuses('of another extension is ignored',
    'x-unknown',
    'x-webkit-deflate-frame',
    'permessage-bzip2; client_max_window_bits',
    'permessage-deflat',
    'permessage-deflate2',
    'x-permessage-deflate',
    'permessage-compress; method=permessage-deflate',
    'x-unknown; a="permessage-deflate, permessage-deflate"');

  refuses('that is empty is none', '', ' ', ',', ', ,', ';');
});

suite('of several offers', () => {
  accepts('the first one wins',
    ['permessage-deflate, permessage-deflate; server_max_window_bits=10'],
    ['permessage-deflate; server_max_window_bits=10, permessage-deflate', withWindow(10)],
    ['permessage-deflate; server_max_window_bits=12; client_max_window_bits, permessage-deflate; server_max_window_bits=9', withWindow(12)]);

  accepts('those that have to be declined are skipped',
    ['permessage-deflate; x, permessage-deflate'],
    ['permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=11, permessage-deflate', withWindow(11)],
    ['permessage-deflate; server_no_context_takeover=1, permessage-deflate; client_max_window_bits=99,permessage-deflate']);

  accepts('those of other extensions are skipped',
    ['x-unknown, permessage-deflate'],
    ['x-unknown; a=1; b="2", permessage-bzip2, permessage-deflate; server_max_window_bits=13, x-more', withWindow(13)]);

  accepts('none begins within quotes',
    ['x-unknown; a="b, permessage-deflate; c", permessage-deflate; server_max_window_bits=9', withWindow(9)],
    ['x-unknown; a="b; c", permessage-deflate; server_max_window_bits=9', withWindow(9)],
    ['x-unknown; a="\\", permessage-deflate, ", permessage-deflate; server_max_window_bits=9', withWindow(9)]);

  accepts('empty ones between the commas do no harm', [', ,permessage-deflate'], ['permessage-deflate,,'], ['x-unknown,,permessage-deflate']);

  accepts('on several header lines the first acceptable one wins',
    [['x-unknown', 'permessage-deflate']],
    [['permessage-deflate; x', 'permessage-deflate; server_max_window_bits=12', 'permessage-deflate'], withWindow(12)],
    [['', 'permessage-deflate; server_max_window_bits=16, x-unknown', 'x-unknown, permessage-deflate; server_max_window_bits=8'], withWindow(8)]);

  refuses('none has to be acceptable',
    'permessage-deflate; x, x-unknown, permessage-deflate; server_max_window_bits=7',
    ['x-unknown', 'permessage-deflate; server_max_window_bits', 'permessage-deflate; y']);

  accepts('what browsers send is accepted',
    ['permessage-deflate; client_max_window_bits'],
    ['permessage-deflate'],
    ['x-webkit-deflate-frame, permessage-deflate; client_max_window_bits']);
});

suite('the window that was agreed on', () => {
  const size = (bits) => 2 ** bits;
  const text = (length) => 'abcdefghij'.repeat(length / 10 + 1).slice(0, length);
  const echoes = async (bits, ...expected) => {
    const { client } = await open([`permessage-deflate; server_max_window_bits=${bits}`]);
    for (const one of expected) {
      await client.write(put.text(one.payload));
      await client.expect(one);
    }
    client.destroy();
  };

  for (const bits of everyWindow.filter((one) => one < 15)) {
    test(`of ${bits} bits takes compressed messages of ${size(bits)} bytes, and larger ones come uncompressed`, () =>
      echoes(bits, compressed(got.text(text(size(bits)))), plain(got.text(text(size(bits) + 1))),
        plain(got.text(text(100_000))), compressed(got.text(text(THRESHOLD)))));
  }

  test('of 15 bits takes compressed messages of any size', () =>
    echoes(15, ...[32_768, 32_769, 200_000, THRESHOLD].map((length) => compressed(got.text(text(length))))));

  test('does not bind the client', async () => {
    const { client } = await open(['permessage-deflate; server_max_window_bits=8; client_max_window_bits=8']);
    const long = text(100_000);
    await client.write(put.compressed.text(long));
    await client.expect(plain(got.text(long)));
    client.destroy();
  });
});

suite('a server', () => {
  const anyOffers = [
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits',
    'permessage-deflate; server_max_window_bits=15, permessage-deflate',
    'x-unknown, permessage-deflate',
  ];

  test('compresses nothing for a client that offers nothing', () => declines([]));

  test('that was not told to compress agrees to no offer and takes no compressed message', async () => {
    for (const offer of anyOffers) await declines([offer], { to: silent });
  });

  test('that was not told to compress agrees to nothing on the channel endpoint either', async () => {
    const { client, status, answers } = await open(anyOffers, { to: silent, path: socketPath(silent) });
    assert.deepEqual({ status, answers }, { status: 101, answers: [] });
    await client.write(put.compressed.text('[null,"1","phoenix","heartbeat",{}]'));
    await client.expect(got.close(1002));
    await client.expectEnd();
  });

  test('agrees to the same on the channel endpoint and its alias', async () => {
    for (const path of [socketPath(server), socketPath(server).replace('/socket/', '/realtime/v1/')]) {
      for (const [offer, answer] of [
        ['permessage-deflate; client_max_window_bits', ANSWER],
        ['permessage-deflate; x, permessage-deflate; server_max_window_bits=10', withWindow(10)],
      ]) {
        const { client, status, answers } = await open([offer], { path });
        assert.deepEqual({ status, answers }, { status: 101, answers: [answer] });
        await client.write(put.compressed.text('[null,"1","phoenix","heartbeat",{}]'));
        assert.deepEqual(await client.json(), [null, '1', 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);
        client.destroy();
      }
      const { client, answers } = await open(['permessage-deflate; x'], { path });
      assert.deepEqual(answers, []);
      client.destroy();
    }
  });

  test('says nothing of extensions where it refuses the socket', async () => {
    const { client, status, answers } = await open(['permessage-deflate'], { path: '/socket/websocket?apikey=wrong' });
    assert.deepEqual({ status, answers }, { status: 401, answers: [] });
    client.destroy();
  });

  test('can be told to compress by its environment, and not to', async () => {
    const startWith = (value) => startServer({ debugEcho: true, env: { WEBSOCKET_COMPRESSION: value } });
    const [willing, unwilling] = await Promise.all([startWith('true'), startWith('false')]);
    await agrees(['permessage-deflate'], ANSWER, { to: willing });
    await declines(['permessage-deflate'], { to: unwilling });
    assert.deepEqual(await Promise.all([willing.stop(), unwilling.stop()]), [0, 0]);
  });
});
