// SPDX-License-Identifier: MIT
// What the tests have in common.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ENTRY = new URL('../index.mjs', import.meta.url).href;

/** Text that nobody else has. */
export function unique(size) {
  return randomBytes(Math.ceil(size / 2)).toString('hex').slice(0, size);
}

export const descriptors = () => readdirSync('/proc/self/fd').length;
export const maps = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;

/** Lets finalizers run until a count is what it was. */
export async function settles(count, wanted, rounds = 50) {
  for (let round = 0; round < rounds && count() > wanted; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return count();
}

/** A figure of /proc/self/smaps, in KB, of the maps that are part of `size` bytes or more of one file of the store or of SMUs. */
export function smaps(figure, size) {
  const entries = readFileSync('/proc/self/smaps', 'latin1').split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  const ours = entries.filter((entry) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(entry) ?? [];
    return parseInt(to, 16) - parseInt(from, 16) === size && / rw-p .*(agentmem|agent_mem|smu)/.test(entry.split('\n')[0]);
  });
  return ours.map((entry) => Number(new RegExp(`^${figure}: +([0-9]+) kB`, 'm').exec(entry)[1]));
}

/** A program of the addon in a process of its own: its exit code, signal and what it printed. */
export async function program(source, { before = [], ...options } = {}) {
  const [command, ...argv] = [...before, process.execPath, '--expose-gc', '--input-type=module', '-e', source];
  const child = spawn(command, argv, {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    ...options,
  });
  let said = '';
  child.stdout.on('data', (part) => (said += part));
  const [code, signal] = await once(child, 'close');
  return { code, signal, said };
}
