// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { alloc, append, attach, mark, stats } from '../index.mjs';
import { smaps, unique } from './tools.mjs';

const PAGE = 4096;

test('a buffer is the object itself: its pages, and no memory of its own', () => {
  const size = 301 * PAGE; // of which there is one map only
  const smu = alloc({ type: 'tool-result', data: unique(size) });
  const { buffer } = smu;
  let sum = 0;
  for (let at = 0; at < size; at += PAGE) sum += buffer[at];
  assert.ok(sum > 0);
  assert.deepEqual(smaps('Rss', size), [size / 1024]);
  assert.deepEqual(smaps('Anonymous', size), [0]);
  buffer[5 * PAGE] = 0;
  assert.deepEqual(smaps('Anonymous', size), [PAGE / 1024]);
});

test('what is written to a buffer changes that buffer and nothing else', () => {
  const data = unique(10 * PAGE + 17);
  const smu = alloc({ type: 'tool-result', data });
  const other = attach(smu.digest);
  const [mine, theirs] = [smu.buffer, other.buffer];
  mine.fill(0);
  mine[mine.length - 1] = 1;
  assert.equal(mine[0], 0);
  assert.equal(theirs.toString(), data);
  assert.equal(String(smu), data);
  assert.equal(smu.copy().toString(), data);
  assert.equal(stats(smu).digest, smu.digest);
  assert.equal(alloc({ type: 'tool-result', data }).digest, smu.digest);
});

test('the same is true of an object that was appended to another', () => {
  const [begin, more] = [unique(3 * PAGE + 100), unique(2 * PAGE)];
  const first = alloc({ type: 'conversation', data: begin });
  const second = append(first, more);
  second.buffer.fill(0);
  assert.equal(String(second), begin + more);
  assert.equal(first.buffer.toString(), begin);
});

test('an Smu gives one buffer as long as that is in use', () => {
  const smu = alloc({ type: 'tool-def', data: unique(100) });
  const { buffer } = smu;
  assert.equal(smu.buffer, buffer);
  assert.equal(smu.buffer.length, 100);
  assert.equal(buffer.byteOffset, 0);
});

test('a buffer outlives its Smu, and holds the object', () => {
  const data = unique(PAGE);
  const smu = alloc({ type: 'tool-result', data });
  const { buffer } = smu;
  const slice = buffer.subarray(10, 20);
  smu.close();
  assert.equal(buffer.toString(), data);
  assert.equal(slice.toString(), data.slice(10, 20));
  assert.equal(String(attach(smu.digest)), data, 'found: the buffer holds it');
});

test('a buffer stays as it is while the object is compressed', () => {
  const data = unique(100).repeat(1000);
  const smu = alloc({ type: 'conversation', data });
  const { buffer } = smu;
  mark(smu, { temperature: 'cold' });
  assert.equal(buffer.toString(), data);
  mark(smu);
  assert.equal(stats(smu).temperature, 'hot');
  assert.equal(String(smu), data);
});

test('the memory of a buffer is not given to another thread: it is copied, or refused', async () => {
  const data = unique(1000);
  const { buffer } = alloc({ type: 'tool-result', data });
  const { port1, port2 } = new MessageChannel();
  try {
    try {
      port1.postMessage(buffer, [buffer.buffer]);
    } catch (error) {
      assert.equal(error.name, 'DataCloneError'); // Node 21 and newer
      port1.postMessage(buffer);
    }
    const [copy] = await once(port2, 'message');
    assert.equal(Buffer.from(copy).toString(), data);
    assert.equal(buffer.toString(), data);
  } finally {
    port1.close();
  }
});

// Node 21 and newer: before, the language has no way to move memory.
const moving = ArrayBuffer.prototype.transfer ? test : () => {};

moving('memory that a program moves stays valid, and the Smu gives a new buffer', async () => {
  const data = unique(3 * PAGE);
  const smu = alloc({ type: 'tool-result', data });
  const moved = smu.buffer.buffer.transfer();
  const longer = smu.buffer.buffer.transfer(4 * PAGE);
  for (let round = 0; round < 5; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(Buffer.from(moved).toString(), data);
  assert.equal(Buffer.from(longer, 0, data.length).toString(), data);
  new Uint8Array(moved).fill(0);
  assert.equal(smu.buffer.toString(), data);
});
