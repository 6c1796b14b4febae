// SPDX-License-Identifier: MIT
// The adapters for the Claude Agent SDK, and the hook for Claude Code, without either; tests/native has them with the real ones.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stats } from '../index.mjs';
import { SmuSessionStore, ToolResults } from '../lib/claude.mjs';
import native from '../lib/native.js';
import { ENTRY, descriptors, program, unique } from './tools.mjs';

const HOOK = fileURLToPath(new URL('../lib/claude-hook.js', import.meta.url));
const KEY = { projectKey: 'project', sessionId: 'one' };
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const entry = (uuid, text = unique(50)) => ({ type: 'user', uuid, message: { role: 'user', content: [{ type: 'text', text }] } });

test('a session comes back as it was appended, each uuid once', async () => {
  const store = new SmuSessionStore();
  const entries = [entry('a'), entry('b', 'ü\n"'), { type: 'title', title: 'x' }, { type: 'title', title: 'x' }];
  assert.equal(await store.load(KEY), null);
  await store.append(KEY, entries.slice(0, 2));
  await store.append(KEY, entries);
  assert.deepEqual(await store.load(KEY), entries);
  await store.append(KEY, [entries[0]]);
  assert.deepEqual(await store.load(KEY), entries);
  assert.equal(store.smu(KEY).type, 'conversation');
  store.close();
});

test('an append that fails adds nothing, and can be made again', async () => {
  const store = new SmuSessionStore();
  const entries = [entry('a'), entry('b')];
  await assert.rejects(store.append(KEY, [entries[0], { ...entries[1], cost: 1n }]), TypeError);
  assert.equal(await store.load(KEY), null);
  await store.append(KEY, entries);
  await assert.rejects(store.append(KEY, [entry('c', 'first'), { type: 'title', cost: 1n }]), TypeError);
  await store.append(KEY, [entry('c', 'again')]);
  assert.deepEqual(await store.load(KEY), [...entries, entry('c', 'again')]);
  store.close();
});

test('sessions and their parts are listed, and deleted', async () => {
  const before = descriptors();
  const store = new SmuSessionStore();
  const part = { ...KEY, subpath: 'subagents/agent-1' };
  const other = { projectKey: 'other', sessionId: 'one' };
  for (const key of [KEY, part, other, { ...KEY, sessionId: 'two' }]) await store.append(key, [entry('a')]);
  const listed = await store.listSessions('project');
  assert.deepEqual(listed.map(({ sessionId }) => sessionId).sort(), ['one', 'two']);
  assert.ok(listed.every(({ mtime }) => Number.isInteger(mtime) && Date.now() - mtime < 60_000));
  assert.deepEqual(await store.listSubkeys(KEY), ['subagents/agent-1']);
  await store.delete(part);
  assert.deepEqual([await store.load(part), await store.listSubkeys(KEY)], [null, []]);
  await store.append(part, [entry('b')]);
  await store.delete(KEY);
  assert.deepEqual([await store.load(KEY), await store.load(part)], [null, null]);
  assert.equal((await store.load(other)).length, 1);
  store.close();
  assert.equal(descriptors(), before);
});

test('a store takes a session over by its digest, and goes on with it', async () => {
  const [one, two] = [new SmuSessionStore(), new SmuSessionStore()];
  const entries = [entry('a'), entry('b')];
  await one.append(KEY, entries);
  two.restore(KEY, one.smu(KEY).digest);
  one.close();
  await two.append(KEY, [entries[1], entry('c', 'more')]);
  assert.deepEqual(await two.load(KEY), [...entries, entry('c', 'more')]);
  assert.throws(() => two.restore(KEY, '00'.repeat(32)), { code: 'ENOENT' });
  assert.equal((await two.load(KEY)).length, 3, 'what was there stays');
  two.close();
});

test('what a tool answered is kept under its id', async () => {
  const results = new ToolResults();
  const [{ hooks }] = results.hooks.PostToolUse;
  const response = { stdout: unique(1000), code: 0 };
  assert.deepEqual(await hooks[0]({ hook_event_name: 'PostToolUse', tool_use_id: 'toolu_1', tool_response: response }), {});
  assert.deepEqual(await hooks[0]({ hook_event_name: 'PostToolUse', tool_use_id: 'toolu_2' }), {});
  assert.deepEqual([...results.keys()], ['toolu_1']);
  assert.deepEqual(JSON.parse(results.get('toolu_1')), response);
  assert.equal(results.get('toolu_1').type, 'tool-result');
  results.close();
});

/** Claude Code is this process; its hooks are started as that does it. */
function claude(t) {
  const directory = mkdtempSync(join(tmpdir(), 'agentmem-test-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const transcript = join(directory, 'session.jsonl');
  const input = { session_id: `s-${unique(8)}`, transcript_path: transcript, cwd: '/somewhere/project' };
  const env = { ...process.env, TMPDIR: directory };
  const place = process.env.XDG_RUNTIME_DIR || directory;
  const state = join(place, `agentmem-claude-${process.getuid()}`, `${input.session_id}.json`);
  const hook = (event, more, run = `exec '${process.execPath}' '${HOOK}'`) => {
    const given = JSON.stringify({ ...input, hook_event_name: event, ...more });
    const done = spawnSync('/bin/sh', ['-c', run], { input: given, env, encoding: 'utf8' });
    assert.equal(done.stderr, '');
    assert.equal(done.status, 0);
  };
  return { transcript, hook, directory, env, input, state };
}

/** Which of these objects are there, asked by another agent: this one would claim what it was granted. */
async function held(...digests) {
  const source = `
    import { agent, attach } from '${ENTRY}';
    agent({ name: 'looks' });
    const is = (digest) => {
      try {
        attach(digest).close();
        return true;
      } catch (error) {
        return error.code === 'ENOENT' ? false : error.code;
      }
    };
    console.log(JSON.stringify(${JSON.stringify(digests)}.map(is)));`;
  return JSON.parse((await program(source)).said);
}

test('the hook keeps transcript and results as long as the session, and tells what is being done', async (t) => {
  const { transcript, hook } = claude(t);
  const lines = [`${JSON.stringify(entry('a'))}\n`, `${JSON.stringify(entry('b'))}\n`];
  const response = { stdout: unique(3000) };
  hook('SessionStart');
  assert.deepEqual([stats().name, stats().state], ['claude project', 'idle']);
  hook('UserPromptSubmit');
  assert.equal(stats().state, 'active');
  writeFileSync(transcript, lines[0]);
  hook('PostToolUse', { tool_name: 'Bash', tool_use_id: 't', tool_response: response });
  const result = sha256(JSON.stringify(response));
  assert.deepEqual(await held(sha256(lines[0]), result), [true, true]);
  appendFileSync(transcript, lines[1]);
  // With shells in between. Bash reads .bashrc where its stdin is a socket, as node's pipes are.
  hook('Stop', {}, `bash --norc -c "'${process.execPath}' '${HOOK}'; exit $?"; exit $?`);
  assert.equal(stats().state, 'idle');
  assert.deepEqual(await held(sha256(lines.join('')), result), [true, true]);
  hook('SessionEnd');
  assert.deepEqual(await held(sha256(lines.join('')), result), [false, false]);
});

test('hooks that run side by side lose nothing; the oldest results make room', async (t) => {
  const { transcript, hook, directory, input, state } = claude(t);
  writeFileSync(transcript, `${JSON.stringify(entry('a'))}\n`);
  const responses = Array.from({ length: 6 }, (_, i) => ({ number: i, text: unique(200) }));
  const digests = responses.map((response) => sha256(JSON.stringify(response)));
  // One shell starts them all at once.
  const inputs = responses.map((response, i) => {
    const file = join(directory, `${i}.in`);
    writeFileSync(file, JSON.stringify({ ...input, hook_event_name: 'PostToolUse', tool_use_id: `t${i}`, tool_response: response }));
    return `'${process.execPath}' '${HOOK}' <'${file}' &`;
  });
  hook('Stop', {}, `${inputs.join(' ')} wait`);
  assert.deepEqual(await held(...digests), Array(6).fill(true));
  const kept = JSON.parse(readFileSync(state, 'utf8'));
  assert.deepEqual([...kept.results].sort(), [...digests].sort());
  const filler = Array.from({ length: 95 }, () => 'ab'.repeat(32)); // of objects that are gone
  writeFileSync(state, JSON.stringify({ ...kept, results: [...kept.results, ...filler] }));
  hook('PostToolUse', { tool_response: { one: 'more' } });
  const now = JSON.parse(readFileSync(state, 'utf8')).results;
  assert.equal(now.length, 100);
  assert.deepEqual(await held(...kept.results), [false, false, true, true, true, true]);
  hook('SessionEnd');
  assert.deepEqual(await held(...digests), Array(6).fill(false));
});

/** Starts a hook; resolves when it has ended. */
function started({ env, input }, event, more) {
  const child = spawn('/bin/sh', ['-c', `exec '${process.execPath}' '${HOOK}'`], { env });
  child.stdin.end(JSON.stringify({ ...input, hook_event_name: event, ...more }));
  child.stderr.setEncoding('utf8');
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  return { child, ended: once(child, 'close').then(([status]) => ({ status, said })) };
}

test('hooks of a session wait for its lock, and for nothing else', async (t) => {
  const session = claude(t);
  const { hook, state } = session;
  const lock = `${state}.lock`;
  hook('Stop');
  writeFileSync(lock, String(process.pid)); // a hook that was killed left it
  const before = Date.now();
  hook('Stop');
  assert.ok(Date.now() - before < 4000);

  const [first, second] = [openSync(lock, 'a'), openSync(`${lock}.second`, 'a')];
  assert.equal(native.lock(first), 0);
  assert.equal(native.lock(second), 0);
  rmSync(state);
  const { child, ended } = started(session, 'Stop');
  await setTimeout(700);
  renameSync(`${lock}.second`, lock); // as if the session had ended and begun anew
  closeSync(first);
  await setTimeout(700);
  assert.equal(child.exitCode, null);
  assert.ok(!existsSync(state));
  closeSync(second);
  assert.deepEqual(await ended, { status: 0, said: '' });
  assert.ok(existsSync(state));
});

test('the lock of a session goes with it, whatever hooks run then', async (t) => {
  const session = claude(t);
  const { hook, state } = session;
  const hooks = Array.from({ length: 12 }, (_, i) => started(session, i % 3 ? 'Stop' : 'SessionEnd').ended);
  for (const done of await Promise.all(hooks)) assert.deepEqual(done, { status: 0, said: '' });
  hook('SessionEnd');
  assert.deepEqual([existsSync(state), existsSync(`${state}.lock`)], [false, false]);
});

test('input that is not a hook gets one line, and stops nothing', (t) => {
  const { env } = claude(t);
  for (const [input, told] of [['', /JSON/], ['{}', /no session_id/], ['{"session_id": "../../x"}', /no session_id/]]) {
    const done = spawnSync(process.execPath, [HOOK], { input, env, encoding: 'utf8' });
    assert.equal(done.status, 1);
    assert.match(done.stderr, /^agentmem-claude-hook: [^\n]+\n$/);
    assert.match(done.stderr, told);
  }
});
