// Two well-behaved clients that talk while others misbehave, and what the misbehaviour cost the server.
//
// One broadcasts a number, the other one has to get it before the next is sent: none may be missing, none may come twice
// or out of order, and each within MAX_DELAY_MS, though server, witnesses and attackers share two cores.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../harness/phoenix.mjs';
import { MEMORY_IS_JUDGED, peakGrowth } from '../harness/process.mjs';

const TOPIC = 'realtime:witness';
const MAX_DELAY_MS = 10_000; // that nothing hangs; speed is the benchmark's business
const PACE_MS = 2;

// Defines tests against `server` whose body is the misbehaviour: hostile(name, {growthMiB}, async (t) => …).
export const hostileTo = (server) => (name, limits, misbehave) =>
  test(name, (t) => disturbingNobody(t, server, limits, () => misbehave(t)));

// Runs `misbehave` beside the witnesses. The server's memory may peak `growthMiB` above what it was before.
export async function disturbingNobody(t, server, { growthMiB }, misbehave) {
  const witness = await Witness.start(server);
  const { before, growth } = await peakGrowth(server.pid, () => misbehave().finally(() => witness.finish()));
  const delay = Math.round(witness.worstMs);
  t.diagnostic(`memory +${growth.toFixed(1)} MiB over ${before.toFixed(1)}; ${witness.said} broadcasts of others, slowest ${delay} ms`);
  assert.ok(delay < MAX_DELAY_MS, `a broadcast between others took ${delay} ms`);
  if (MEMORY_IS_JUDGED) assert.ok(growth <= growthMiB, `the server's memory grew by ${growth.toFixed(1)} MiB`);
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
