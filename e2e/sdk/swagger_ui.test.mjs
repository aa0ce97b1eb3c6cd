// The page of the HTTP API in a real browser.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openBrowser } from '../harness/browser.mjs';
import { startServer } from '../harness/server.mjs';

const server = await startServer();
after(() => server.stop());
const browser = await openBrowser();
after(() => browser.close());

for (const prefix of ['', '/realtime/v1']) {
  test(`the page at ${prefix}/swaggerui shows every operation, tries one out, and asks nobody but its server`, async () => {
    const page = await browser.newPage();
    const problems = [];
    const hosts = new Set();
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => request.url().startsWith('data:') || hosts.add(new URL(request.url()).host));
    await page.goto(`${server.url}${prefix}/swaggerui`);
    assert.equal(await page.title(), 'Swagger UI');
    await page.waitForSelector('.opblock');
    const shown = await page.$$eval('.opblock', (blocks) =>
      blocks.map((block) => `${block.querySelector('.opblock-summary-method').textContent} ${block.querySelector('[data-path]').dataset.path}`));
    const { paths } = await (await fetch(`${server.url}/api/openapi`)).json();
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).filter((method) => method !== 'parameters').map((method) => `${method.toUpperCase()} ${path}`));
    assert.deepEqual(shown.sort(), described.sort());

    // It goes to this server: without a token it is refused, as it should be.
    const list = page.locator('.opblock-get', { has: page.locator('[data-path="/api/tenants"]') });
    await list.locator('.opblock-summary').first().click();
    await list.locator('button.try-out__btn').click();
    const answer = page.waitForResponse((response) => response.url() === `${server.url}${prefix}/api/tenants`);
    await list.locator('button.execute').click();
    assert.equal((await answer).status(), 403);
    assert.deepEqual([...hosts], [`${server.host}:${server.port}`]);
    assert.deepEqual(problems.filter((text) => !text.includes('403')), []);
    await page.close();
  });
}
