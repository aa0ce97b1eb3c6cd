// The description of the HTTP API. http-api.md 10
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import SwaggerParser from '@apidevtools/swagger-parser';
import { request } from '../harness/http.mjs';
import { startServer } from '../harness/server.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(async () => assert.equal(await server.stop(), 0));

test('the API describes itself by a valid document, and every path in it is answered', async () => {
  const response = await fetch(`${server.url}/api/openapi`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  const document = await response.json();
  await SwaggerParser.validate(structuredClone(document));
  assert.equal(document.info.title, 'realtime');
  let operations = 0;
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      if (method === 'parameters') continue;
      ++operations;
      // Without a token or a body: whatever it is, it is described.
      const { status } = await request(server, { method: method.toUpperCase(), path: path.replace(/\{\w+\}/g, 'x'), headers: { 'Content-Length': '0' } });
      assert.ok(String(status) in responses, `${method} ${path} answers ${status}`);
    }
  }
  assert.equal(operations, 11);
});
