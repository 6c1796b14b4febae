// SPDX-License-Identifier: MIT
// For the Claude Agent SDK: sessions and tool results as SMUs.
'use strict';

const { History } = require('./history.js');
const { alloc, attach } = require('./smu.js');

const nameOf = ({ projectKey, sessionId, subpath = '' }) => JSON.stringify([projectKey, sessionId, subpath]);

/** One session as lines of JSON. Each entry that has a uuid is in it once. */
class Session {
  constructor(key, smu = null) {
    this.key = key;
    this.mtime = Date.now();
    this.history = new History({ smu });
    this.uuids = new Set(this.entries().map(({ uuid }) => uuid));
  }

  entries() {
    if (!this.history.smu) return [];
    return String(this.history.smu).trimEnd().split('\n').map((line) => JSON.parse(line));
  }

  /** All of them, or none: who is told that it failed may try again. */
  append(entries) {
    const added = new Set();
    const isNew = ({ uuid }) => uuid === undefined || (!this.uuids.has(uuid) && !added.has(uuid) && added.add(uuid));
    const lines = entries.filter(isNew).map((entry) => `${JSON.stringify(entry)}\n`);
    if (lines.length) this.history.append(lines.join(''));
    for (const uuid of added) this.uuids.add(uuid);
    this.mtime = Date.now();
  }
}

/** The SDK's SessionStore: `query({ options: { sessionStore: new SmuSessionStore() } })`. */
class SmuSessionStore {
  #sessions = new Map();

  async append(key, entries) {
    const name = nameOf(key);
    const session = this.#sessions.get(name) ?? new Session(key);
    session.append(entries);
    this.#sessions.set(name, session);
  }

  async load(key) {
    return this.#sessions.get(nameOf(key))?.entries() ?? null;
  }

  async listSessions(projectKey) {
    return this.#of(({ key }) => key.projectKey === projectKey && key.subpath === undefined).map(({ key, mtime }) => ({
      sessionId: key.sessionId,
      mtime,
    }));
  }

  async listSubkeys({ projectKey, sessionId }) {
    const parts = this.#of(({ key }) => key.projectKey === projectKey && key.sessionId === sessionId);
    return parts.map(({ key }) => key.subpath).filter((subpath) => subpath !== undefined);
  }

  async delete({ projectKey, sessionId, subpath }) {
    const all = this.#of(({ key }) => key.projectKey === projectKey && key.sessionId === sessionId);
    for (const session of all) if (subpath === undefined || session.key.subpath === subpath) this.#drop(session);
  }

  /** The object that holds a session now, or null. */
  smu(key) {
    return this.#sessions.get(nameOf(key))?.history.smu ?? null;
  }

  /** Takes a session over from whoever holds it: another process, another store. */
  restore(key, digest) {
    const session = new Session(key, attach(digest));
    const before = this.#sessions.get(nameOf(key));
    if (before) this.#drop(before);
    this.#sessions.set(nameOf(key), session);
  }

  close() {
    for (const session of this.#sessions.values()) this.#drop(session);
  }

  [Symbol.dispose]() {
    this.close();
  }

  #of(wanted) {
    return [...this.#sessions.values()].filter(wanted);
  }

  #drop(session) {
    session.history.close();
    this.#sessions.delete(nameOf(session.key));
  }
}

/** What tools answered, by tool_use_id: `query({ options: { hooks: results.hooks } })`. */
class ToolResults extends Map {
  get hooks() {
    return { PostToolUse: [{ hooks: [async (input) => this.#keep(input)] }] };
  }

  close() {
    for (const smu of this.values()) smu.close();
    this.clear();
  }

  [Symbol.dispose]() {
    this.close();
  }

  #keep({ tool_use_id: id, tool_response: response }) {
    if (response === undefined) return {};
    const smu = alloc({ type: 'tool-result', data: JSON.stringify(response) });
    this.get(id)?.close();
    this.set(id, smu);
    return {};
  }
}

module.exports = { SmuSessionStore, ToolResults };
