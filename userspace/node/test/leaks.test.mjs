// SPDX-License-Identifier: MIT
// What is not closed is closed when it is collected. Run with --expose-gc.
import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { alloc, allocAsync, append, attach, attachAsync, markAsync } from '../index.mjs';
import { descriptors, maps, settles, unique } from './tools.mjs';

/** Runs `use` many times, with what it answers dropped: no descriptor and no map is left. */
async function leavesNothing(use, times = 300) {
  for (let i = 0; i < 20; i++) await use(i);
  await settles(descriptors, 0, 5);
  const [files, areas] = [descriptors(), maps()];
  for (let i = 0; i < times; i++) await use(i);
  const [filesNow, areasNow] = [await settles(descriptors, files), await settles(maps, areas)];
  assert.ok(filesNow <= files, `${files} descriptors became ${filesNow}`);
  assert.ok(areasNow < areas + times / 10, `${areas} maps became ${areasNow}`); // V8's own vary
}

test('an Smu that is dropped', () => leavesNothing((i) => alloc({ type: 'tool-def', data: `object ${i}` })));

test('an Smu whose promise is dropped', () =>
  leavesNothing((i) => void allocAsync({ type: 'tool-def', data: `object ${i % 7}` })));

test('buffers', () => leavesNothing((i) => alloc({ type: 'tool-def', data: `object ${i}` }).buffer.subarray(2)));

test('buffers of a closed Smu', () =>
  leavesNothing((i) => {
    const smu = alloc({ type: 'tool-def', data: `object ${i}` });
    const { buffer } = smu;
    smu.close();
    return buffer[0];
  }));

test('copies and texts', () =>
  leavesNothing((i) => {
    const smu = alloc({ type: 'tool-def', data: `object ${i}` });
    return smu.copy().length + String(smu).length;
  }));

test('a history that grows', async () => {
  let history = alloc({ type: 'conversation', data: 'begin' });
  await leavesNothing((i) => (history = append(history, `step ${i}`)));
});

test('calls that fail', () =>
  leavesNothing(async (i) => {
    const smu = alloc({ type: 'tool-def', data: `object ${i}` });
    assert.throws(() => attach('00'.repeat(32)));
    assert.throws(() => append(smu, ''));
    await assert.rejects(attachAsync('00'.repeat(32)));
    await assert.rejects(allocAsync({ type: 'tool-def', data: 'x', importance: 5000, base: smu }));
    await markAsync(smu, { temperature: 'warm' });
  }));

test('memory: what a promise copied is freed', async () => {
  const data = Buffer.from(unique(4 << 20));
  const use = async () => (await allocAsync({ type: 'tool-result', data })).close();
  for (let i = 0; i < 10; i++) await use();
  globalThis.gc();
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 50; i++) await use();
  globalThis.gc();
  const grown = process.memoryUsage.rss() - before;
  assert.ok(grown < 60 << 20, `grew by ${grown} bytes in 50 calls of 4 MB`);
});

test('a handle that is collected while its call waits for a thread', async () => {
  const native = createRequire(import.meta.url)('../lib/native.js');
  const start = () => {
    const { handle } = native.put(Buffer.from(unique(1000)), 0, 0, -1, 0, null);
    return native.appendAsync(handle, Buffer.from('more'), 0, 0, -1, 0);
  };
  const before = descriptors();
  const busy = Array.from({ length: 4 }, () => promisify(pbkdf2)('', '', 1e6, 64, 'sha512')); // libuv has four threads
  let ended = false;
  const answer = start().finally(() => (ended = true));
  await settles(descriptors, before, 10);
  assert.ok(!ended, 'the call was to wait');
  assert.equal(typeof (await answer).handle, 'object');
  await Promise.all(busy);
});
