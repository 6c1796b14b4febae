// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { alloc, attach } from '../index.mjs';
import { ENTRY, descriptors, maps, program, settles, unique } from './tools.mjs';

const worker = (source, workerData) => new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData });

test('threads work at once, and meet in the same objects', async () => {
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    import { alloc, append, appendAsync } from '${ENTRY}';
    let text = workerData;
    let smu = alloc({ type: 'conversation', data: text });
    for (let step = 0; step < 100; step++) {
      smu = step % 2 ? append(smu, 'step ' + step) : await appendAsync(smu, 'step ' + step);
      text += 'step ' + step;
      if (smu.buffer.toString() !== text) throw new Error('other content');
    }
    parentPort.postMessage(smu.digest);
    parentPort.once('message', () => smu.close());`;
  const workers = Array.from({ length: 4 }, () => worker(source, 'begin'));
  const digests = await Promise.all(workers.map(async (one) => (await once(one, 'message'))[0]));
  assert.equal(new Set(digests).size, 1);
  assert.equal(attach(digests[0]).size, 'begin'.length + 10 * 6 + 90 * 7);
  workers.forEach((one) => one.postMessage('end'));
  await Promise.all(workers.map((one) => once(one, 'exit')));
});

test('a digest is how content gets to another thread without a copy', async () => {
  const smu = alloc({ type: 'tool-result', data: unique(1 << 20) });
  const one = worker(
    `import { parentPort, workerData } from 'node:worker_threads';
     import { attach } from '${ENTRY}';
     parentPort.postMessage(attach(workerData).buffer.toString());`,
    smu.digest,
  );
  const ended = once(one, 'exit');
  const [text] = await once(one, 'message');
  assert.equal(text, String(smu));
  await ended;
});

test('a thread that ends, or is ended in the midst of calls, leaves nothing open', async () => {
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    import { alloc, allocAsync } from '${ENTRY}';
    const held = [];
    for (let i = 0; i < 20; i++) {
      const smu = alloc({ type: 'tool-result', data: 'object ' + i });
      held.push(smu, smu.buffer);
    }
    globalThis.held = held;
    const more = () => allocAsync({ type: 'tool-result', data: Buffer.alloc(300000, held.length) }).then((smu) => {
      held.push(smu, smu.buffer);
      more();
    });
    if (workerData) for (let i = 0; i < 8; i++) more();
    parentPort.postMessage('ready');`;
  const run = async (endless) => {
    const one = worker(source, endless);
    const ended = once(one, 'exit');
    await once(one, 'message');
    if (endless) await one.terminate();
    await ended;
  };
  await run(false); // what the first one leaves is Node's own
  await run(true);
  const [files, areas] = [descriptors(), maps()];
  for (let round = 0; round < 10; round++) await run(round % 2 === 0);
  assert.ok((await settles(descriptors, files)) <= files, `${files} descriptors became ${descriptors()}`);
  assert.ok((await settles(maps, areas + 30)) <= areas + 30, `${areas} maps became ${maps()}`); // V8's own vary
});

test('the addon may be loaded by threads alone, be unloaded with them, and loaded again', async () => {
  const source = `
    import { Worker } from 'node:worker_threads';
    import { spawnSync } from 'node:child_process';
    import { once } from 'node:events';
    const source = "const { alloc } = require('../index.js'); globalThis.kept = alloc({ type: 'tool-def', data: 'x' }).buffer;" +
      "globalThis.other = require('../index.js').allocAsync({ type: 'tool-def', data: 'y' });";
    for (let round = 0; round < 5; round++) {
      const [code] = await once(new Worker(source, { eval: true, execArgv: [] }), 'exit');
      gc();
      console.log(code, spawnSync('true').status);
    }`;
  const { code, said } = await program(source);
  assert.equal(said, '0 0\n'.repeat(5));
  assert.equal(code, 0);
});
