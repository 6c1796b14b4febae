// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { inspect } from 'node:util';
import { test } from 'node:test';
import * as agentmem from '../index.mjs';
import { ENTRY, descriptors, program, unique } from './tools.mjs';

const { Smu, adopt, agent, alloc, allocAsync, append, appendAsync, attach, attachAsync, mark, share, stats } = agentmem;

test('what the system refuses is an Error with code, errno and syscall', () => {
  const nobody = 'ab'.repeat(32);
  assert.throws(() => attach(nobody), { name: 'Error', code: 'ENOENT', errno: -2, syscall: 'attach', message: /^ENOENT: .*, attach$/ });
  const noNode = { code: 'EINVAL', syscall: 'alloc', message: /no such NUMA node/ };
  assert.throws(() => alloc({ type: 'tool-def', data: 'x', node: 2 ** 31 - 1 }), noNode);
  assert.throws(() => mark(2 ** 31 - 1), { code: 'ESRCH', syscall: 'mark' });
});

test('a promise is rejected with the same', async () => {
  await assert.rejects(attachAsync('ab'.repeat(32)), { name: 'Error', code: 'ENOENT', errno: -2, syscall: 'attach' });
  await assert.rejects(allocAsync({ type: 'tool-def', data: 'x', node: 2 ** 31 - 1 }), { code: 'EINVAL' });
  await assert.rejects(allocAsync({ type: 'nothing', data: 'x' }), RangeError);
});

test('wrong arguments are told apart from that, and say what is right', () => {
  const smu = alloc({ type: 'tool-def', data: unique(10) });
  const type = 'ERR_INVALID_ARG_TYPE';
  const value = 'ERR_INVALID_ARG_VALUE';
  const cases = [
    [() => alloc(), type, /type, data/],
    [() => alloc({ type: 'tool-def' }), type, /data must be a string/],
    [() => alloc({ type: 'tool-def', data: [1, 2] }), type, /got object/],
    [() => alloc({ type: 'prompt', data: 'x' }), value, /conversation, system-prompt/],
    [() => alloc({ type: 'toString', data: 'x' }), value, /type must be one of/],
    [() => alloc({ type: 'tool-def', data: 'x', kind: 1 }), value, /unknown option kind/],
    [() => alloc({ type: 'tool-def', data: '' }), value, /data is empty/],
    [() => append(smu, new Uint8Array(0)), value, /data is empty/],
    [() => alloc({ type: 'tool-def', data: 'x', importance: 1.5 }), value, /importance/],
    [() => alloc({ type: 'tool-def', data: 'x', importance: 1001 }), value, /importance .* from 1 to 1000; got 1001/],
    [() => alloc({ type: 'tool-def', data: 'x', node: -2 }), value, /node must be a whole number from -1; got -2/],
    [() => mark(smu, { importance: 0 }), value, /importance .* from 1 to 1000; got 0/],
    [() => agent({ name: '' }), value, /name must not be empty/],
    [() => alloc({ type: 'tool-def', data: 'x', base: {} }), type, /not an Smu/],
    [() => append('text', 'x'), type, /append: not an Smu but string/],
    [() => append(Object.create(Smu.prototype), 'x'), type, /not an Smu/],
    [() => attach('abc'), value, /64 hexadecimal digits/],
    [() => attach(new Uint8Array(31)), value, /32 bytes/],
    [() => adopt(-1), value, /fd/],
    [() => share(smu, '12'), value, /pid/],
    [() => mark(smu, { temperature: 'lukewarm' }), value, /hot, warm, cold/],
    [() => mark({}), type, /the target must be/],
    [() => stats('everything'), type, /the target must be/],
    [() => agent({}), value, /a name, an importance or a state/],
    [() => agent({ name: 'a\0b' }), value, /null character/],
    [() => new Smu(), type, /alloc/],
  ];
  for (const [call, code, message] of cases) assert.throws(call, { code, message }, call.toString());
});

test('a mark of agents does not apply to an object', () => {
  const smu = alloc({ type: 'tool-def', data: unique(10) });
  assert.throws(() => mark(smu, { state: 'idle' }), { code: 'EINVAL' });
  assert.throws(() => mark(smu, { name: 'x' }), { code: 'EINVAL' });
});

test('of a closed Smu the digest is left; closing again does nothing', () => {
  const smu = alloc({ type: 'tool-def', data: unique(10) });
  const kept = alloc({ type: 'tool-def', data: unique(11) });
  assert.match(inspect(smu), /^Smu \{ [0-9a-f]{12}… \}$/);
  smu.close();
  const before = descriptors();
  smu.close();
  smu[Symbol.dispose]();
  assert.equal(descriptors(), before);
  assert.equal(smu.closed, true);
  assert.match(smu.digest, /^[0-9a-f]{64}$/);
  assert.match(inspect(smu), /closed/);
  const uses = [() => smu.buffer, () => smu.copy(), () => String(smu), () => smu.fd, () => smu.type];
  uses.push(() => append(smu, 'x'), () => share(smu, process.pid), () => mark(smu), () => stats(smu));
  uses.push(() => alloc({ type: 'tool-def', data: 'x', base: smu }));
  for (const use of uses) assert.throws(use, { code: 'EBADF' }, use.toString());
  assert.equal(kept.copy().length, 11);
});

test('closing while a promise is open does not take its descriptor away', async () => {
  const data = unique(1 << 20);
  for (let round = 0; round < 20; round++) {
    const smu = alloc({ type: 'conversation', data });
    const promise = appendAsync(smu, `${round}`);
    smu.close();
    openSync('/dev/null'); // gets the number, if that is free
    assert.equal((await promise).size, data.length + String(round).length);
  }
});

test('a descriptor of another kind of file is refused and stays open', () => {
  const fd = openSync('/dev/null');
  assert.throws(() => adopt(fd), { code: 'EBADFD', syscall: 'adopt' });
  assert.throws(() => adopt(fd), { code: 'EBADFD' });
});

test('a process that runs out of descriptors is told so, and goes on when it closes some', async () => {
  const source = `
    import { alloc } from '${ENTRY}';
    const held = [];
    try {
      for (;;) held.push(alloc({ type: 'tool-def', data: 'number ' + held.length }));
    } catch (error) {
      held.splice(0, 5).forEach((smu) => smu.close());
      console.log(error.code, held.length > 20, String(alloc({ type: 'tool-def', data: 'again' })));
    }`;
  const { said } = await program(source, { before: ['/bin/sh', '-c', 'ulimit -n 128; exec "$0" "$@"'] });
  assert.equal(said, 'EMFILE true again\n');
});

test('AGENTMEM_BACKEND is heeded, and wrong words are told', async () => {
  const source = `
    import { backend } from '${ENTRY}';
    try { console.log(backend()); } catch (error) { console.log(error.code); }`;
  const forced = async (name) => (await program(source, { env: { ...process.env, AGENTMEM_BACKEND: name } })).said;
  assert.equal(await forced('fallback'), 'fallback\n');
  assert.equal(await forced('something'), 'EINVAL\n');
  assert.match(await forced('kernel'), /^(kernel|ENOSYS)\n$/);
});
