// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { agent, agents, alloc, append, attach, backend, mark, markAsync, share, stats } from '../index.mjs';
import { ENTRY, unique } from './tools.mjs';

// Does what its input says, a line each, and answers with the value as JSON.
const CHILD = `
  import * as agentmem from '${ENTRY}';
  import { createInterface } from 'node:readline';
  const held = new Map();
  for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try { answer = await eval(line); } catch (error) { answer = error.code ?? String(error); }
    console.log(JSON.stringify(answer ?? null));
  }`;

/** A process that uses the addon; do(expression) answers its value there. */
async function other(t, stdio = []) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD], { stdio: ['pipe', 'pipe', 'inherit', ...stdio] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  t.after(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
  });
  const evaluate = async (expression) => {
    child.stdin.write(`${expression}\n`);
    const { value, done } = await lines.next();
    assert.ok(!done, 'the process ended');
    return JSON.parse(value);
  };
  await evaluate(`agentmem.agent({ name: 'other' })`); // with the kernel's backend it is its parent's agent until then
  return { pid: child.pid, do: evaluate };
}

test('another process of the user finds the content by its digest, and holds it', async (t) => {
  const data = unique(10_000);
  const smu = alloc({ type: 'system-prompt', data });
  const process2 = await other(t);
  assert.equal(await process2.do(`String(held.set(1, agentmem.attach('${smu.digest}')).get(1))`), data);
  assert.equal(stats(smu).holders, 2);
  smu.close();
  assert.equal(String(attach(smu.digest)), data);
});

test('what nobody holds any more is gone', async (t) => {
  const smu = alloc({ type: 'system-prompt', data: unique(100) });
  const process2 = await other(t);
  smu.close();
  assert.throws(() => attach(smu.digest), { code: 'ENOENT' });
  assert.equal(await process2.do(`agentmem.attach('${smu.digest}')`), 'ENOENT');
});

test('a grant keeps the object for the agent that it was made to', async (t) => {
  const [data, taken] = [unique(5000), unique(5000)];
  const [smu, back] = [alloc({ type: 'tool-result', data }), alloc({ type: 'tool-result', data: taken })];
  const process2 = await other(t);
  share(smu, process2.pid);
  share(back, process2.pid);
  share(back, process2.pid, { revoke: true });
  assert.throws(() => share(back, process2.pid, { revoke: true }), { code: 'ENOENT' });
  smu.close();
  back.close();
  assert.equal(await process2.do(`String(agentmem.attach('${smu.digest}'))`), data);
  assert.equal(await process2.do(`agentmem.attach('${back.digest}')`), 'ENOENT');
  assert.throws(() => share(alloc({ type: 'tool-def', data: 'x' }), 2 ** 31 - 1), { code: 'ESRCH' });
});

test('a descriptor passed to a child is the object there', async (t) => {
  const smu = alloc({ type: 'tool-result', data: unique(5000) });
  const process2 = await other(t, [smu.fd]);
  assert.equal(await process2.do('held.set(1, agentmem.adopt(3)).get(1).digest'), smu.digest);
  assert.equal(await process2.do('held.get(1).size'), 5000);
  assert.equal(await process2.do('String(held.get(1))'), String(smu));
});

test('an agent says who it is; others see that, and can mark it', async (t) => {
  const process2 = await other(t);
  await process2.do(`agentmem.agent({ name: 'reviewer', importance: 900, state: 'paused' })`);
  await process2.do(`held.set(1, agentmem.alloc({ type: 'conversation', data: '${unique(1000)}' }))`);
  const seen = stats(process2.pid);
  assert.deepEqual([seen.name, seen.importance, seen.state, seen.smus, seen.logicalBytes], ['reviewer', 900, 'paused', 1, 1000]);
  assert.ok(agents().includes(process2.pid));
  mark(process2.pid, { importance: 20, state: 'idle' });
  assert.deepEqual(await process2.do('[agentmem.stats().importance, agentmem.stats().state]'), [20, 'idle']);
});

test('a name is cut between characters', () => {
  agent({ name: `a${'é'.repeat(200)}` });
  assert.equal(stats().name, `a${'é'.repeat(127)}`);
  agent({ name: 'tests', state: 'active', importance: 500 });
  assert.equal(stats('self').name, 'tests');
});

test('a mark of an object says how soon it is used again', async () => {
  const data = unique(500).repeat(2000);
  const smu = alloc({ type: 'conversation', data });
  assert.equal(stats(smu).temperature, 'hot');
  await markAsync(smu, { temperature: 'cold' });
  const cold = stats(smu);
  assert.equal(cold.temperature, 'cold');
  assert.ok(cold.stored > 0 && cold.stored < data.length / 4, `${cold.stored} bytes stored`);
  assert.notEqual(cold.algorithm, 'none');
  assert.equal(String(smu), data);
  mark(smu, { temperature: 'warm', importance: 10 });
  assert.equal(stats(smu).temperature, 'warm');
  mark(smu);
  assert.equal(stats(smu).temperature, 'hot');
  assert.ok(stats(smu).residentTop >= data.length);
});

test('figures tell what was saved', () => {
  const before = stats('domain');
  const text = unique(20_000);
  const held = Array.from({ length: 5 }, () => alloc({ type: 'system-prompt', data: text }));
  held.push(append(held[0], 'more'));
  const after = stats('domain');
  assert.equal(after.dedupHits - before.dedupHits, 4);
  assert.equal(after.dedupBytes - before.dedupBytes, 80_000);
  assert.equal(after.state, null);
  assert.equal(after.name, '');
  const one = stats(held[0]);
  assert.deepEqual([one.type, one.length, one.baseDepth, one.digest], ['system-prompt', 20_000, 0, held[0].digest]);
  if (backend() === 'fallback') assert.throws(() => stats('system'), { code: 'EOPNOTSUPP' });
  else assert.ok(stats('system').smus >= 2);
});
