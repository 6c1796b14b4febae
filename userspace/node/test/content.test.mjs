// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import agentmem, { alloc, allocAsync, append, appendAsync, attach, attachAsync } from '../index.mjs';
import { unique } from './tools.mjs';

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

test('content comes back under its SHA-256', () => {
  const smu = alloc({ type: 'tool-def', data: 'abc' });
  assert.equal(smu.digest, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.equal(String(smu), 'abc');
  assert.equal(smu.size, 3);
  assert.equal(smu.type, 'tool-def');
});

test('text goes and comes as UTF-8', () => {
  const text = 'Grüße, 你好, 🦉' + unique(40);
  const smu = alloc({ type: 'conversation', data: text });
  assert.equal(smu.size, Buffer.byteLength(text));
  assert.equal(String(smu), text);
  assert.deepEqual(JSON.parse(alloc({ type: 'conversation', data: JSON.stringify({ text }) })), { text });
});

test('every kind of bytes is taken, and its part of the memory only', () => {
  const memory = new Uint8Array(64).map((_, i) => i);
  const shared = new SharedArrayBuffer(64);
  new Uint8Array(shared).set(memory);
  const cases = [
    [memory, memory],
    [memory.buffer, memory],
    [shared, memory],
    [new Uint8Array(shared, 3, 9), memory.subarray(3, 12)],
    [memory.subarray(5, 9), memory.subarray(5, 9)],
    [new DataView(memory.buffer, 7, 11), memory.subarray(7, 18)],
    [new Float64Array(memory.buffer, 8, 2), memory.subarray(8, 24)],
    [Buffer.from(memory).subarray(1), memory.subarray(1)],
  ];
  for (const [data, bytes] of cases) {
    const smu = alloc({ type: 'tool-result', data });
    assert.deepEqual(new Uint8Array(smu.copy()), new Uint8Array(bytes));
    assert.equal(smu.digest, sha256(bytes));
  }
});

test('a part of it is copied, or read as text, cut to what is there', () => {
  const smu = alloc({ type: 'tool-def', data: '0123456789' });
  assert.equal(smu.copy(3).toString(), '3456789');
  assert.equal(smu.copy(3, 5).toString(), '34');
  assert.equal(smu.toString(8, 100), '89');
  assert.equal(smu.copy(10).length + smu.copy(7, 2).length + smu.copy(99).length, 0);
  for (const wrong of [-1, 1.5, '3', NaN]) assert.throws(() => smu.copy(wrong), RangeError);
  assert.throws(() => smu.toString(0, -1), RangeError);
});

test('equal content is one object', () => {
  const data = unique(5000);
  const [one, two] = [alloc({ type: 'conversation', data }), alloc({ type: 'system-prompt', data })];
  assert.deepEqual([one.dedup, two.dedup], [false, true]);
  assert.equal(one.digest, two.digest);
  assert.equal(two.type, 'conversation', 'an object keeps the type that it got when it was new');
  one.close();
  assert.equal(String(two), data);
});

test('an appended object is the same as if all had been put', () => {
  let history = alloc({ type: 'conversation', data: 'begin\n' });
  let text = 'begin\n';
  for (let step = 0; step < 200; step++) {
    const more = `${step} ${unique(step * 7)}\n`;
    const next = append(history, more);
    history.close();
    history = next;
    text += more;
    assert.equal(history.size, Buffer.byteLength(text));
  }
  assert.equal(history.digest, sha256(text));
  assert.equal(String(history), text);
  assert.equal(alloc({ type: 'conversation', data: text }).dedup, true);
  assert.equal(history.type, 'conversation');
});

test('content is found by its digest, as digits or as bytes', async () => {
  const smu = alloc({ type: 'tool-result', data: unique(100) });
  const found = [
    attach(smu.digest),
    attach(smu.digest.toUpperCase()),
    attach(Buffer.from(smu.digest, 'hex')),
    await attachAsync(smu.digest),
  ];
  for (const other of found) {
    assert.equal(other.digest, smu.digest);
    assert.equal(other.size, 100);
    assert.equal(String(other), String(smu));
  }
});

test('promises give what the calls give', async () => {
  const data = unique(3000);
  const smu = await allocAsync({ type: 'tool-def', data });
  assert.equal(smu.digest, sha256(data));
  assert.equal(smu.type, 'tool-def');
  const more = await appendAsync(smu, 'more', { type: 'tool-result' });
  assert.equal(String(more), `${data}more`);
  assert.equal(more.size, 3004);
  assert.equal(more.type, 'tool-result');
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => appendAsync(smu, `${i}`)));
  all.forEach((one, i) => assert.equal(one.digest, sha256(data + i)));
});

test('a call with a promise lets the program go on', async () => {
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  await allocAsync({ type: 'tool-result', data: Buffer.alloc(64 << 20, unique(1 << 16)) });
  clearInterval(turning);
  assert.ok(turns > 2, `${turns} turns of the event loop`);
});

test('data of a promise may be changed or given away at once', async () => {
  const text = unique(1 << 20);
  const [changed, given] = [Buffer.from(text), new Uint8Array(Buffer.from(text))];
  const busy = Buffer.alloc(16 << 20, 'all threads have something to do first');
  const first = Array.from({ length: 4 }, () => allocAsync({ type: 'tool-result', data: busy }));
  const promises = [
    allocAsync({ type: 'tool-result', data: changed }),
    allocAsync({ type: 'tool-result', data: given }),
  ];
  changed.fill(0);
  structuredClone(given.buffer, { transfer: [given.buffer] });
  for (const smu of await Promise.all(promises)) {
    assert.equal(smu.digest, sha256(text));
    assert.equal(smu.size, text.length);
  }
  await Promise.all(first);
});

test('a base is a hint: the content is the same with it', () => {
  const text = unique(200_000);
  const base = alloc({ type: 'conversation', data: text });
  const other = alloc({ type: 'conversation', data: `${text.slice(0, 100_000)}changed${text.slice(100_000)}`, base });
  assert.equal(String(other), `${text.slice(0, 100_000)}changed${text.slice(100_000)}`);
  assert.equal(typeof other.delta, 'boolean');
});

test('import and require give the same functions', () => {
  const required = createRequire(import.meta.url)('../index.js');
  assert.deepEqual(Object.keys(required).sort(), Object.keys(agentmem).sort());
  assert.equal(required, agentmem);
  assert.ok(alloc({ type: 'tool-def', data: 'x' }) instanceof required.Smu);
});
