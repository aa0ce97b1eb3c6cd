// Two well-behaved clients that talk while others misbehave, and what the misbehaviour cost the server.
//
// One broadcasts a number, the other one has to get it before the next is sent: none may be missing, none may come twice
// or out of order, and each within MAX_DELAY_MS, though server, witnesses and attackers share two cores.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../harness/phoenix.mjs';

const TOPIC = 'realtime:witness';
const MAX_DELAY_MS = 10_000; // that nothing hangs; speed is the benchmark's business
const PACE_MS = 2;

// Sanitizers keep freed memory back on purpose, so there we only look on.
export const MEMORY_IS_JUDGED = !Object.keys(process.env).some((name) => /^[AT]SAN_OPTIONS$/.test(name));

// Defines tests against `server` whose body is the misbehaviour: hostile(name, {growthMiB}, async (t) => …).
export const hostileTo = (server) => (name, limits, misbehave) =>
  test(name, (t) => disturbingNobody(t, server, limits, () => misbehave(t)));

// Runs `misbehave` beside the witnesses. The server's memory may peak `growthMiB` above what it was before.
export async function disturbingNobody(t, server, { growthMiB }, misbehave) {
  const witness = await Witness.start(server);
  const before = await memory(server.pid);
  await writeFile(`/proc/${server.pid}/clear_refs`, '5');  // the peak counts from here
  await misbehave().finally(() => witness.finish());
  const growth = (await memory(server.pid)).VmHWM - before.VmRSS;
  const delay = Math.round(witness.worstMs);
  t.diagnostic(`memory +${growth.toFixed(1)} MiB over ${before.VmRSS.toFixed(1)}; ${witness.said} broadcasts of others, slowest ${delay} ms`);
  assert.ok(delay < MAX_DELAY_MS, `a broadcast between others took ${delay} ms`);
  if (MEMORY_IS_JUDGED) assert.ok(growth <= growthMiB, `the server's memory grew by ${growth.toFixed(1)} MiB`);
}

// {VmRSS, VmHWM}, now and at the peak, in MiB.
export async function memory(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const lines = status.matchAll(/^(VmRSS|VmHWM):\s+(\d+) kB$/gm);
  return Object.fromEntries([...lines].map(([, name, kib]) => [name, kib / 1024]));
}

class Witness {
  said = 0;
  worstMs = 0;

  static async start(server) {
    const witness = new Witness();
    witness.speaker = await connect(server);
    witness.listener = await connect(server);
    await witness.speaker.join(TOPIC);
    await witness.listener.join(TOPIC);
    witness.talk = witness.#talk();
    witness.talk.catch(() => {});  // finish() tells
    return witness;
  }

  async #talk() {
    do {
      const started = performance.now();
      this.speaker.broadcast(TOPIC, 'number', { number: this.said });
      const heard = await this.listener.next();
      assert.deepEqual(heard.payload, { type: 'broadcast', event: 'number', payload: { number: this.said } });
      this.said += 1;
      this.worstMs = Math.max(this.worstMs, performance.now() - started);
      await sleep(PACE_MS);
    } while (!this.enough);
  }

  async finish() {
    this.enough = true;
    await this.talk;
    await this.listener.expectQuiet();
    await this.speaker.expectQuiet();
    await Promise.all([this.speaker.close(), this.listener.close()]);
  }
}
