// What a process costs, as the kernel counts it.

import { readFile, writeFile } from 'node:fs/promises';

// Sanitizers keep freed memory back on purpose, so there we only look on.
export const MEMORY_IS_JUDGED = !Object.keys(process.env).some((name) => /^[AT]SAN_OPTIONS$/.test(name));

// {VmRSS, VmHWM}, now and at the peak, in MiB.
export async function memory(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const lines = status.matchAll(/^(VmRSS|VmHWM):\s+(\d+) kB$/gm);
  return Object.fromEntries([...lines].map(([, name, kib]) => [name, kib / 1024]));
}

// By how many MiB its memory peaked above what it was before, while `body` ran.
export async function peakGrowth(pid, body) {
  const before = await memory(pid);
  await writeFile(`/proc/${pid}/clear_refs`, '5'); // the peak counts from here
  await body();
  return { before: before.VmRSS, growth: (await memory(pid)).VmHWM - before.VmRSS };
}

const TICKS_PER_SECOND = 100;

// Of user and kernel, so far.
export async function cpuSeconds(pid) {
  const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8'));
  return (Number(user) + Number(system)) / TICKS_PER_SECOND;
}
