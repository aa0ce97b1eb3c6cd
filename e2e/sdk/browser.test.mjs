// supabase-js in a real browser, from the bundle that web pages load, talking with a client in Node.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser } from '../harness/browser.mjs';
import { startServer } from '../harness/server.mjs';
import { subscribe, supabase } from './supabase.mjs';

const BUNDLE = fileURLToPath(new URL('supabase.js', import.meta.resolve('@supabase/supabase-js').replace(/dist\/.*/, 'dist/umd/')));
const server = await startServer();
after(() => server.stop());

// A page that loads nothing but the bundle.
const pages = createServer(async (request, response) => {
  const isBundle = request.url === '/supabase.js';
  response.setHeader('content-type', isBundle ? 'text/javascript' : 'text/html; charset=utf-8');
  response.end(isBundle ? await readFile(BUNDLE) : '<!doctype html><title>e2e</title><script src="/supabase.js"></script>');
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
after(() => pages.close());

const browser = await openBrowser();
after(() => browser.close());

// Runs in the page: subscribes, keeps what it hears and answers each `question`.
function joinInPage({ url, token, topic, vsn }) {
  window.heard = [];
  const client = window.supabase.createClient(url, token, { realtime: { vsn }, auth: { persistSession: false, autoRefreshToken: false } });
  window.channel = client.channel(topic, { config: { broadcast: { ack: true } } });
  const send = (event, payload) => window.channel.send({ type: 'broadcast', event, payload });
  window.channel.on('broadcast', { event: '*' }, ({ event, payload }) => {
    window.heard.push({ event, payload: payload instanceof ArrayBuffer ? [...new Uint8Array(payload)] : payload });
    if (event === 'question') send('answer', payload);
    if (event === 'bytes') send('bytes back', payload);
  });
  return new Promise((resolve, reject) => {
    window.channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? resolve() : reject(error ?? new Error(status))));
  });
}

for (const vsn of ['1.0.0', '2.0.0']) {
  test(`a page in a browser on ${vsn} and a client in Node talk both ways`, async (t) => {
    const topic = `browser-${vsn}`;
    const page = await browser.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(`http://127.0.0.1:${pages.address().port}/`);
    await page.evaluate(joinInPage, { url: server.url, token: server.token(), topic, vsn });
    const node = await subscribe(supabase(t, server, { vsn }), topic);

    for (let n = 0; n < 20; n += 1) {
      const payload = { n, text: 'grüße 👋' };
      await node.send('question', payload);
      assert.deepEqual(await node.broadcasts.next(), { event: 'answer', payload });
    }
    if (vsn === '2.0.0') {
      await node.send('bytes', Uint8Array.from([0, 1, 254, 255]).buffer);
      const { event, payload } = await node.broadcasts.next();
      assert.deepEqual([event, [...new Uint8Array(payload)]], ['bytes back', [0, 1, 254, 255]]);
    }
    const send = () => window.channel.send({ type: 'broadcast', event: 'from the page', payload: { first: true } });
    assert.equal(await page.evaluate(send), 'ok');
    assert.deepEqual(await node.broadcasts.next(), { event: 'from the page', payload: { first: true } });
    assert.equal(await page.evaluate(() => window.heard.filter(({ event }) => event === 'question').length), 20);
    assert.deepEqual(problems, []);
    await page.close();
  });
}
