// SPDX-License-Identifier: MIT
/// <reference types="node" />
/// <reference lib="esnext.disposable" />

/**
 * Texts of many agents, held once.
 *
 *     import { alloc, backend } from 'libagentmem-node';
 *
 *     const prompt = alloc({ type: 'system-prompt', data: 'You are a careful reviewer.' });
 *     console.log(backend(), prompt.digest, String(prompt));
 *
 * Whoever of the same user puts the same bytes gets the same object and the same memory. All functions may be called in worker
 * threads. A function that fails throws an Error with `code` ('ENOENT'), `errno` (negative) and `syscall`, and changes nothing;
 * wrong arguments are a TypeError or RangeError. What ends in Async does the same on a thread of libuv's pool, and a promise
 * answers; its data is copied first, so it may be changed at once.
 */

/** What a text is. An object keeps the type that it got when it was new. */
export type Type = 'conversation' | 'system-prompt' | 'tool-def' | 'tool-result';

/** How soon it will be used again: in memory and not compressed; compressed; compressed and out of main memory if possible. */
export type Temperature = 'hot' | 'warm' | 'cold';

/** What an agent is doing. */
export type State = 'active' | 'paused' | 'idle';

/** How the compressed copy of an object is made. */
export type Algorithm = 'none' | 'zstd' | 'deflate-iaa' | 'zstd-iaa';

/** Text, which goes as UTF-8, or anything that has bytes. */
export type Data = string | NodeJS.ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

export interface PutOptions {
  /** Preferred NUMA node; by default the agent's. */
  node?: number;
  /** 1 to 1000; by default the agent's. */
  importance?: number;
  /** false: not worth it, e.g. because it is compressed already. */
  compress?: boolean;
}

export interface AllocOptions extends PutOptions {
  type: Type;
  /** At least one byte. */
  data: Data;
  /** An object with similar content, to hold the difference to it. A hint. */
  base?: Smu;
}

export interface AppendOptions extends PutOptions {
  /** By default that of what is appended to. */
  type?: Type;
}

export interface Mark {
  temperature?: Temperature;
  /** 1 to 1000 */
  importance?: number;
  /** Preferred NUMA node; -1: none. */
  node?: number;
}

export interface AgentMark extends Mark {
  state?: State;
  /** Cut after 255 bytes. */
  name?: string;
}

/** An object's figures; bytes but for idleMs, and counts. */
export interface SmuStats {
  type: Type;
  flags: number;
  temperature: Temperature;
  /** Of the content. */
  length: number;
  /** Not compressed, in the top tier of memory. */
  residentTop: number;
  /** The same in lower tiers (CXL). */
  residentLower: number;
  /** Of the compressed copy. */
  stored: number;
  /** Since the last access. */
  idleMs: number;
  /** Agents of this user that hold it. */
  holders: number;
  /** Bases below it; 0: it stands alone. */
  baseDepth: number;
  algorithm: Algorithm;
  /** Preferred NUMA node, or -1. */
  node: number;
  digest: string;
}

/** One agent, or the sum of many (then state, importance, node and name are null, 0, -1 and empty). */
export interface AgentStats {
  state: State | null;
  importance: number;
  node: number;
  /** Objects held, once per holder. */
  smus: number;
  /** What the holders see, once per holder. */
  logicalBytes: number;
  /** The same, once per object. */
  uniqueBytes: number;
  residentTop: number;
  residentLower: number;
  storedBytes: number;
  /** Of these, swapped out; an estimate. */
  swappedBytes: number;
  dedupHits: number;
  dedupBytes: number;
  attachHits: number;
  deltaHits: number;
  compressions: number;
  decompressions: number;
  decompressNs: number;
  evictAge: number;
  evictPressure: number;
  evictMark: number;
  faultResident: number;
  faultLower: number;
  faultStored: number;
  faultSwapped: number;
  /** Private anonymous memory of the processes; of it, held by the store; bytes that takes. */
  anonBytes: number;
  anonStoredBytes: number;
  anonStoreUsed: number;
  name: string;
}

/**
 * One hold on an object. It lasts until close(), the end of its `using` block, or until it is collected; the object does as
 * long as anybody holds it, and buffers hold it, too. Digest, dedup, delta and closed can be read of a closed one; all else
 * throws EBADF.
 *
 * It belongs to its thread. Send `digest` to another thread or process, and `attach` there.
 */
export class Smu implements Disposable {
  private constructor();
  /** The SHA-256 of the content as 64 hexadecimal digits. */
  readonly digest: string;
  /** Bytes of content. */
  readonly size: number;
  readonly type: Type;
  /** Whether the content was there already. */
  readonly dedup: boolean;
  /** Whether it is held as a difference to its base. */
  readonly delta: boolean;
  readonly closed: boolean;
  /** The descriptor, e.g. for the `stdio` of a child process. It goes on to belong to the Smu. */
  readonly fd: number;
  /**
   * The content without a copy: these are the object's own pages. They stay as long as the buffer is referenced, also after
   * close(). What is written to it goes to pages that this buffer alone has; the object does not change. Throws
   * ERR_AGENTMEM_NO_EXTERNAL_BUFFERS where the runtime allows no such buffers (Electron).
   */
  readonly buffer: Buffer;
  /** The content, or its bytes from start to before end, as a copy in JavaScript's own memory. */
  copy(start?: number, end?: number): Buffer;
  /** The same as text, from UTF-8. */
  toString(start?: number, end?: number): string;
  /** Ends this hold. Closing again does nothing. */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * A text that only grows, as the file of a session does, kept as an Smu: each state takes the place of the one before, and
 * costs what it added.
 */
export class History implements Disposable {
  /** smu: what there is already; the History closes it. type: of what it makes; by default 'conversation'. */
  constructor(begin?: { smu?: Smu | null; type?: Type });
  /** The newest state; null before there is any. */
  readonly smu: Smu | null;
  readonly size: number;
  append(data: Data): Smu;
  /** Takes up whole lines that a file has beyond what is kept; if it was written anew, all of its lines. */
  follow(path: string): Smu | null;
  close(): void;
  [Symbol.dispose](): void;
}

/** Makes or finds the object that holds these bytes. */
export function alloc(options: AllocOptions): Smu;
export function allocAsync(options: AllocOptions): Promise<Smu>;

/** The object that holds this one's bytes followed by `data`, at the price of `data`. */
export function append(smu: Smu, data: Data, options?: AppendOptions): Smu;
export function appendAsync(smu: Smu, data: Data, options?: AppendOptions): Promise<Smu>;

/**
 * Finds an object by its digest (64 hexadecimal digits, or 32 bytes) among what this user holds, and what was granted to this
 * agent. ENOENT: nobody holds it.
 */
export function attach(digest: string | Uint8Array): Smu;
export function attachAsync(digest: string | Uint8Array): Promise<Smu>;

/** Takes over a descriptor of an object that came from another process. EBADFD: it is another kind of file, and stays open. */
export function adopt(fd: number): Smu;

/** Grants the object to the agent that a process belongs to, which can then attach it; revoke takes back what it has not yet. */
export function share(smu: Smu, pid: number, options?: { revoke?: boolean }): void;

/**
 * Says how an object, or an agent (this one, or that of a process), is used. Without anything to say: hot. A temperature of an
 * agent goes for all that it holds.
 */
export function mark(smu: Smu, options?: Mark): void;
export function mark(agent?: 'self' | number, options?: AgentMark): void;
export function markAsync(smu: Smu, options?: Mark): Promise<void>;
export function markAsync(agent?: 'self' | number, options?: AgentMark): Promise<void>;

/** Figures of an object; of this agent or that of a process; or the sum over this user's agents, or (as root) over all. */
export function stats(smu: Smu): SmuStats;
export function stats(agent?: 'self' | number | 'domain' | 'system'): AgentStats;

/** Describes the agent that this process is, with the processes that it forks. What is not said stays as it was. */
export function agent(description: { name?: string; importance?: number; state?: State }): void;

/** The processes of this user that are agents; as root, with the kernel's backend: of all. */
export function agents(): number[];

/** Which backend is in use. AGENTMEM_BACKEND in the environment decides before the first call. */
export function backend(): 'kernel' | 'fallback';
