#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// agentmem-claude-hook: a hook for Claude Code. Its session's transcript and what tools answered are kept as SMUs as long as
// Claude Code runs, which also becomes an agent with a name and a state.
//
// A hook is a process that ends. What it makes is granted to Claude Code, and a grant lasts as long as whom it was made to: no
// daemon, and nothing is left when Claude Code ends. A file per session says which objects these are.
'use strict';

const fs = require('node:fs');
const { constants, tmpdir } = require('node:os');
const { basename, join } = require('node:path');
const { History, agent, alloc, attach, mark, share } = require('../index.js');
const { check } = require('./errors.js');
const native = require('./native.js');

const GRANTS = 100; // kept at once; an agent may have 128 that nobody claimed
const PATIENCE = 5000; // ms for another hook of the session to end
const BETWEEN = /^(sh|dash|bash|zsh|npm exec.*)$/; // shells, and npx

/** The process that the hook is for: who had a shell start it. */
function claudeCode() {
  for (let pid = process.ppid; ; ) {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(stat);
    if (!BETWEEN.test(name)) return pid;
    pid = Number(rest.split(' ')[1]);
  }
}

/** A directory that nobody else can write to. */
function place() {
  const directory = join(process.env.XDG_RUNTIME_DIR || tmpdir(), `agentmem-claude-${process.getuid()}`);
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { uid, mode } = fs.lstatSync(directory);
  if (uid !== process.getuid() || (mode & 0o077) !== 0 || !fs.lstatSync(directory).isDirectory())
    throw new Error(`${directory} is not this user's alone; remove it, or set XDG_RUNTIME_DIR`);
  return directory;
}

/**
 * Runs `body` while no other hook of the session does: tools may run side by side. The kernel releases the lock when its
 * holder ends. The file is removed with the session, so a lock on a file that lost its name does not count.
 */
async function alone(file, body) {
  const path = lockOf(file);
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const fd = fs.openSync(path, 'a', 0o600);
    try {
      if (locked(fd) && isNamed(path, fd)) return body();
    } finally {
      fs.closeSync(fd);
    }
    if (Date.now() > deadline) throw new Error(`another hook of this session does not end: it holds the lock of ${path}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const lockOf = (file) => `${file}.lock`;

function locked(fd) {
  const answer = native.lock(fd);
  return answer === -constants.errno.EWOULDBLOCK ? false : check(answer, 'flock') === 0;
}

function isNamed(path, fd) {
  const named = fs.statSync(path, { throwIfNoEntry: false });
  const open = fs.fstatSync(fd);
  return named?.ino === open.ino && named.dev === open.dev;
}

/** What a session keeps: objects that are granted to Claude Code, known by their digests. */
class Kept {
  constructor(file, claude) {
    this.file = file;
    this.claude = claude;
    try {
      this.state = JSON.parse(fs.readFileSync(file, 'utf8'));
    } catch {
      this.state = {};
    }
    if (this.state.pid !== claude) this.state = { pid: claude, transcript: null, results: [] }; // that one has ended
  }

  follow(path) {
    const before = this.#find(this.state.transcript);
    const history = new History({ smu: before });
    const now = history.follow(path)?.digest ?? null;
    if (now === this.state.transcript) return;
    if (history.smu) share(history.smu, this.claude);
    this.#release(this.state.transcript);
    this.state.transcript = now;
  }

  keep(response) {
    const smu = alloc({ type: 'tool-result', data: JSON.stringify(response) });
    const { results } = this.state;
    if (results.includes(smu.digest)) return;
    share(smu, this.claude);
    results.push(smu.digest);
    while (results.length > GRANTS) this.#release(results.shift());
  }

  releaseAll() {
    for (const digest of [this.state.transcript, ...this.state.results]) this.#release(digest);
    fs.rmSync(this.file, { force: true });
    fs.rmSync(lockOf(this.file), { force: true }); // which this hook holds
  }

  save() {
    fs.writeFileSync(`${this.file}.new`, JSON.stringify(this.state), { mode: 0o600 });
    fs.renameSync(`${this.file}.new`, this.file);
  }

  #find(digest) {
    try {
      return digest && attach(digest);
    } catch (error) {
      if (error.code === 'ENOENT') return null;
      throw error;
    }
  }

  #release(digest) {
    const smu = this.#find(digest);
    try {
      if (smu) share(smu, this.claude, { revoke: true });
    } catch (error) {
      if (error.code !== 'ENOENT') throw error; // it was claimed
    }
  }
}

function handle(input, file) {
  const claude = claudeCode();
  agent({ name: 'agentmem-claude-hook' }); // else it could be Claude Code's own agent, and claim the grants
  const kept = new Kept(file, claude);
  const event = input.hook_event_name;
  if (event === 'SessionEnd') return kept.releaseAll();
  if (event === 'SessionStart') mark(claude, { name: `claude ${basename(input.cwd)}`, state: 'idle' });
  if (event === 'UserPromptSubmit') mark(claude, { state: 'active' });
  if (event === 'PostToolUse' && input.tool_response !== undefined) kept.keep(input.tool_response);
  if (fs.existsSync(input.transcript_path)) kept.follow(input.transcript_path);
  if (event === 'Stop') mark(claude, { state: 'idle' });
  kept.save();
}

async function main() {
  const input = JSON.parse(fs.readFileSync(0, 'utf8'));
  if (typeof input.session_id !== 'string' || !/^[\w-]+$/.test(input.session_id))
    throw new Error('the input has no session_id: this is a hook for Claude Code');
  const file = join(place(), `${input.session_id}.json`);
  await alone(file, () => handle(input, file));
}

main().catch((error) => {
  console.error(`agentmem-claude-hook: ${error.message}`);
  process.exitCode = 1; // which stops nothing
});
