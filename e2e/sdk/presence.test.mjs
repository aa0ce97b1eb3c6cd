// Presence as applications see it: after any churn all clients agree on who is there, with unmodified supabase-js and
// with the Presence class of phoenix.js.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, test } from 'node:test';
import { Presence, Socket } from 'phoenix';
import { WebSocket as WsWebSocket } from 'ws';
import { startServer, until } from '../harness/server.mjs';
import { PUSH_TIMEOUT_MS, supabase } from './supabase.mjs';

const server = await startServer({ workers: 2, env: { CLIENT_PRESENCE_MAX_CALLS: 1_000_000 } });
after(() => server.stop());

// A generator that a seed repeats (mulberry32).
function seeded(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class SupabaseMember {
  events = { sync: 0, join: 0, leave: 0 };

  static async join(t, topic, key) {
    const member = new SupabaseMember();
    const client = supabase(t, server);
    member.channel = client.channel(topic, { config: { presence: { key, enabled: true } } });
    for (const event of Object.keys(member.events)) {
      member.channel.on('presence', { event }, () => (member.events[event] += 1));
    }
    await new Promise((resolve, reject) => {
      member.channel.subscribe((status, error) => (status === 'SUBSCRIBED' ? resolve() : reject(error ?? new Error(status))));
    });
    member.leave = () => client.removeChannel(member.channel);
    return member;
  }

  async track(meta) {
    assert.equal(await this.channel.track(meta), 'ok');
  }

  async untrack() {
    assert.equal(await this.channel.untrack(), 'ok');
  }

  // supabase-js calls a ref `presence_ref` and hides the one before.
  state() {
    const entries = Object.entries(this.channel.presenceState());
    return canonical(entries.map(([key, metas]) => [key, metas.map(({ presence_ref, ...meta }) => ({ ...meta, ref: presence_ref }))]));
  }
}

class PhoenixMember {
  events = { sync: 0, join: 0, leave: 0 };

  static async join(t, topic, key) {
    const member = new PhoenixMember();
    const socket = new Socket(`${server.url.replace('http', 'ws')}/socket`, {
      params: { apikey: server.token() }, timeout: PUSH_TIMEOUT_MS, transport: WsWebSocket, vsn: '2.0.0',
    });
    t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
    socket.connect();
    member.channel = socket.channel(`realtime:${topic}`, { config: { presence: { key, enabled: true } } });
    member.presence = new Presence(member.channel);
    member.presence.onSync(() => (member.events.sync += 1));
    member.presence.onJoin(() => (member.events.join += 1));
    member.presence.onLeave(() => (member.events.leave += 1));
    await answered(member.channel.join());
    member.leave = () => answered(member.channel.leave());
    return member;
  }

  push(event, payload) {
    return answered(this.channel.push('presence', { type: 'presence', event, payload }));
  }

  track(meta) {
    return this.push('track', meta);
  }

  untrack() {
    return this.push('untrack');
  }

  state() {
    const entries = Object.entries(this.presence.state);
    return canonical(entries.map(([key, { metas }]) => [key, metas.map(({ phx_ref, phx_ref_prev, ...meta }) => ({ ...meta, ref: phx_ref }))]));
  }
}

const answered = (push) => new Promise((resolve, reject) => {
  push.receive('ok', resolve).receive('error', (error) => reject(new Error(JSON.stringify(error)))).receive('timeout', () => reject(new Error('no answer')));
});

// The order of keys and of the metas of a key means nothing.
function canonical(entries) {
  return JSON.stringify(entries.map(([key, metas]) => [key, metas.map((meta) => JSON.stringify(meta)).sort()]).sort());
}

for (const Member of [SupabaseMember, PhoenixMember]) {
  test(`${Member.name}: track and untrack are seen by another client as sync, join and leave`, async (t) => {
    const topic = `presence-${Member.name}`;
    const ann = await Member.join(t, topic, 'ann');
    const bob = await Member.join(t, topic, 'bob');
    const names = (member) => [...member.state().matchAll(/name\\*":\\*"(\w+)/g)].map(([, name]) => name);
    await ann.track({ name: 'Ann' });
    await until(() => names(bob).join() === 'Ann' && names(ann).join() === 'Ann', 'the join');
    assert.ok(bob.events.sync > 0 && bob.events.join > 0);
    await bob.track({ name: 'Bob' });
    await until(() => names(ann).join() === 'Ann,Bob', 'both');
    const { leave } = bob.events;
    await ann.untrack();
    await until(() => names(bob).join() === 'Bob' && bob.events.leave > leave, 'the leave');
    await bob.leave();
    await until(() => names(ann).length === 0, 'nobody to be left');
  });
}

// realtime-js 2.109 takes the refs off metas that it still has to find by them, when a key gets a further meta or loses
// one of several, so updates and shared keys are for phoenix.js only. What it does right has to be right here.
const churns = [
  { name: 'both kinds', kinds: [SupabaseMember, PhoenixMember], updates: false, key: (n) => `key ${n} é "` },
  { name: 'phoenix.js, with updates and shared keys', kinds: [PhoenixMember], updates: true, key: (n) => `key ${n % 3}` },
];

for (const { name, kinds, updates, key } of churns) {
  test(`after random churn all clients agree on who is there, and with a late one: ${name}`, async (t) => {
    const seed = Number(process.env.RT_TEST_SEED ?? randomInt(1 << 30));
    t.diagnostic(`seed ${seed}`);
    const random = seeded(seed);
    const topic = `churn-${name}-${seed}`;
    const members = [];
    let joined = 0;
    const join = async (Member = kinds[random(kinds.length)]) => members.push(await Member.join(t, topic, key((joined += 1))));
    for (let n = 0; n < 6; n += 1) await join();
    for (let step = 0; step < 200; step += 1) {
      const member = members[random(members.length)];
      const what = random(12);
      if (what < 7) {
        if (!updates) await member.untrack();
        await member.track({ n: random(50), text: 'grüße' });
      } else if (what < 10) await member.untrack();
      else if (what === 10 && members.length < 12) await join();
      else if (members.length > 4) {
        members.splice(members.indexOf(member), 1);
        await member.leave();
      }
    }
    await members[0].untrack();
    await members[0].track({ last: seed });
    for (const Member of kinds) await join(Member);
    const agree = () => members.every((member) => member.state().includes(`${seed}`) && member.state() === members[0].state());
    await until(agree, `all to agree; seed ${seed}`).catch((error) => {
      throw new Error(`${error.message}\n${members.map((member) => member.state()).join('\n')}`);
    });
  });
}
