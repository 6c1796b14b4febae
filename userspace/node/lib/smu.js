// SPDX-License-Identifier: MIT
'use strict';

const { inspect } = require('node:util');
const native = require('./native.js');
const { check, closed, invalidType, invalidValue } = require('./errors.js');
const { TYPES, bytesOf, importanceOf, integer, kindOf, nameOf, numberOf, optionsOf } = require('./values.js');

const DEDUP = 1 << 0;
const DELTA = 1 << 1;
const NOCOMPRESS = 1 << 3;
const REVOKE = 1 << 0;
const PUT = ['node', 'importance', 'compress'];

const KEY = Symbol('made by this module');
let handleOf; // what an Smu knows and nobody else sees

/** One hold on an object. The types and what they mean are in index.d.ts. */
class Smu {
  #handle;
  #size;
  #result;
  #buffer;
  #closed = false;

  static {
    handleOf = (smu, call) => {
      if (typeof smu !== 'object' || smu === null || !(#handle in smu)) throw invalidType(`${call}: not an Smu but ${kindOf(smu)}`);
      if (smu.#closed) throw closed(call);
      return smu.#handle;
    };
  }

  constructor(key, made, size) {
    if (key !== KEY) throw invalidType('an Smu is made by alloc(), append(), attach() or adopt()');
    this.#handle = made.handle;
    this.#result = made.result;
    this.#size = size;
    Object.defineProperty(this, 'digest', { value: made.digest, enumerable: true });
  }

  get size() {
    this.#size ??= check(native.smuStats(handleOf(this, 'size')), 'size').length;
    return this.#size;
  }

  get type() {
    return nameOf(TYPES, check(native.smuStats(handleOf(this, 'type')), 'type').type);
  }

  get dedup() {
    return (this.#result & DEDUP) !== 0;
  }

  get delta() {
    return (this.#result & DELTA) !== 0;
  }

  get closed() {
    return this.#closed;
  }

  get fd() {
    return native.descriptor(handleOf(this, 'fd'));
  }

  // Kept weakly: a map that lasts would keep memory that a mark is to free.
  get buffer() {
    const handle = handleOf(this, 'buffer');
    let buffer = this.#buffer?.deref();
    if (buffer?.length) return buffer; // else its memory was given away: ArrayBuffer.prototype.transfer()
    const memory = check(native.view(handle), 'buffer');
    if (memory === null) {
      const message = 'this runtime (Electron, or V8 with its sandbox) allows no buffers of outside memory; next: use copy() or toString()';
      throw Object.assign(new Error(message), { code: 'ERR_AGENTMEM_NO_EXTERNAL_BUFFERS' });
    }
    buffer = Buffer.from(memory);
    this.#buffer = new WeakRef(buffer);
    return buffer;
  }

  copy(start = 0, end = Infinity) {
    return check(native.copy(handleOf(this, 'copy'), ...partOf(start, end)), 'copy');
  }

  toString(start = 0, end = Infinity) {
    return check(native.text(handleOf(this, 'toString'), ...partOf(start, end)), 'toString');
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#buffer = undefined;
    check(native.close(this.#handle), 'close');
  }

  [Symbol.dispose]() {
    this.close();
  }

  [inspect.custom]() {
    return `Smu { ${this.digest.slice(0, 12)}…${this.#closed ? ', closed' : ''} }`;
  }
}

/** The part of a content between two bytes; what is beyond its end is cut. */
function partOf(start, end) {
  const last = end === Infinity ? Number.MAX_SAFE_INTEGER : end;
  for (const at of [start, last])
    if (!Number.isSafeInteger(at) || at < 0) throw invalidValue(`start and end are numbers of bytes from 0; got ${String(at)}`);
  return [start, last];
}

/** Numbers for put and append, in their order. */
function numbers(type, { node = -1, importance, compress = true }) {
  return [
    type,
    compress ? 0 : NOCOMPRESS,
    integer(node, 'node', -1),
    importance === undefined ? 0 : importanceOf(importance),
  ];
}

function putArguments(options) {
  if (options === undefined) throw invalidType('alloc() takes { type, data }');
  const given = optionsOf(options, ['type', 'data', 'base', ...PUT]);
  const base = given.base === undefined ? null : handleOf(given.base, 'alloc');
  return [bytesOf(given.data), ...numbers(numberOf(TYPES, given.type, 'type'), given), base];
}

function appendArguments(smu, data, options) {
  const handle = handleOf(smu, 'append');
  const given = optionsOf(options, ['type', ...PUT]);
  return [handle, bytesOf(data), ...numbers(numberOf(TYPES, given.type ?? smu.type, 'type'), given)];
}

function digestOf(digest) {
  if (digest instanceof Uint8Array && digest.length === 32) return digest;
  if (typeof digest === 'string' && /^[0-9a-fA-F]{64}$/.test(digest)) return Buffer.from(digest, 'hex');
  throw invalidValue('a digest is 64 hexadecimal digits, or 32 bytes');
}

const made = (answer, call, size) => new Smu(KEY, check(answer, call), size);

function alloc(options) {
  const given = putArguments(options);
  return made(native.put(...given), 'alloc', given[0].byteLength);
}

async function allocAsync(options) {
  const given = putArguments(options);
  const size = given[0].byteLength; // the caller may have given the buffer away when the answer comes
  return made(await native.putAsync(...given), 'alloc', size);
}

function append(smu, data, options) {
  const given = appendArguments(smu, data, options);
  return made(native.append(...given), 'append', smu.size + given[1].byteLength);
}

async function appendAsync(smu, data, options) {
  const given = appendArguments(smu, data, options);
  const size = smu.size + given[1].byteLength;
  return made(await native.appendAsync(...given), 'append', size);
}

function attach(digest) {
  return made(native.attach(digestOf(digest)), 'attach');
}

async function attachAsync(digest) {
  return made(await native.attachAsync(digestOf(digest)), 'attach');
}

function adopt(fd) {
  return made(native.adopt(integer(fd, 'fd', 0)), 'adopt');
}

function share(smu, pid, options) {
  const { revoke = false } = optionsOf(options, ['revoke']);
  check(native.share(handleOf(smu, 'share'), integer(pid, 'pid', 1), revoke ? REVOKE : 0), 'share');
}

module.exports = { Smu, adopt, alloc, allocAsync, append, appendAsync, attach, attachAsync, handleOf, share };
