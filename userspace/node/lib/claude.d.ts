// SPDX-License-Identifier: MIT
/// <reference lib="esnext.disposable" />
import type { Smu } from '../index.js';

/** As the Claude Agent SDK's own; not imported, so that the SDK need not be there. */
export interface SessionKey {
  projectKey: string;
  sessionId: string;
  subpath?: string;
}
export interface SessionEntry {
  type: string;
  uuid?: string;
  timestamp?: string;
  [key: string]: unknown;
}

/**
 * A SessionStore of the Claude Agent SDK: each session is one growing object.
 *
 *     const sessionStore = new SmuSessionStore();
 *     for await (const message of query({ prompt, options: { sessionStore } })) ...
 */
export class SmuSessionStore implements Disposable {
  append(key: SessionKey, entries: SessionEntry[]): Promise<void>;
  load(key: SessionKey): Promise<SessionEntry[] | null>;
  listSessions(projectKey: string): Promise<{ sessionId: string; mtime: number }[]>;
  listSubkeys(key: { projectKey: string; sessionId: string }): Promise<string[]>;
  delete(key: SessionKey): Promise<void>;
  /** The object that holds a session now, as lines of JSON; or null. It is the store's. */
  smu(key: SessionKey): Smu | null;
  /** Takes a session over from whoever holds it: another process, another store. ENOENT: nobody does. */
  restore(key: SessionKey, digest: string | Uint8Array): void;
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * What tools answered, as JSON, by tool_use_id.
 *
 *     const results = new ToolResults();
 *     query({ prompt, options: { hooks: results.hooks } })
 */
export class ToolResults extends Map<string, Smu> implements Disposable {
  /** For `options.hooks`; put your own beside it. */
  readonly hooks: { PostToolUse: { hooks: ((input: any) => Promise<{}>)[] }[] };
  close(): void;
  [Symbol.dispose](): void;
}
