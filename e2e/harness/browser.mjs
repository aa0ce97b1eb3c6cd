// Chromium with a profile of its own.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

export async function openBrowser() {
  const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium'].find((path) => path && existsSync(path));
  assert.ok(executablePath, 'this test needs Chromium: install the package chromium, or name its program in the variable CHROMIUM');
  const profile = await mkdtemp(join(tmpdir(), 'realtime-e2e-chromium-'));
  const browser = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS });
  return {
    newPage: () => browser.newPage(),
    close: async () => {
      await browser.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
