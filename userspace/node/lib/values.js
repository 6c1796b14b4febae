// SPDX-License-Identifier: MIT
// Arguments as people give them, and as the calls take them; names and libagentmem's numbers.
'use strict';

const { isAnyArrayBuffer } = require('node:util/types');
const { invalidType, invalidValue } = require('./errors.js');

const TYPES = { conversation: 0, 'system-prompt': 1, 'tool-def': 2, 'tool-result': 3 };
const TEMPERATURES = { hot: 1, warm: 2, cold: 3 };
const STATES = { active: 1, paused: 2, idle: 3 };
const ALGORITHMS = { none: 0, zstd: 1, 'deflate-iaa': 2, 'zstd-iaa': 3 };
const INT_MAX = 2 ** 31 - 1;
const MOST_IMPORTANT = 1000;

/** The number behind a name. */
function numberOf(names, name, what) {
  if (typeof name === 'string' && Object.hasOwn(names, name)) return names[name];
  throw invalidValue(`${what} must be one of ${Object.keys(names).join(', ')}; got ${String(name)}`);
}

/** The name of a number; of one that only a later library knows, the number. */
function nameOf(names, number) {
  return Object.keys(names).find((name) => names[name] === number) ?? number;
}

function integer(value, what, least, most = INT_MAX) {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw invalidValue(`${what} must be a whole number from ${least}${most < INT_MAX ? ` to ${most}` : ''}; got ${String(value)}`);
}

const importanceOf = (value) => integer(value, 'importance', 1, MOST_IMPORTANT);

/** The content for an object: the bytes of a text (as UTF-8), or of anything that has bytes; no copy where it need not be. */
function bytesOf(data) {
  const bytes = viewOf(data);
  if (bytes.byteLength === 0) throw invalidValue('data is empty; an object has one byte or more');
  return bytes;
}

function viewOf(data) {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (isAnyArrayBuffer(data)) return new Uint8Array(data);
  throw invalidType(`data must be a string, Buffer, TypedArray, DataView or ArrayBuffer; got ${kindOf(data)}`);
}

function kindOf(value) {
  return value === null ? 'null' : typeof value;
}

/** Options as an object that may be left out; what is not known is an error, as it would not be heeded. */
function optionsOf(options, known) {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null) throw invalidType(`options must be an object; got ${kindOf(options)}`);
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalidValue(`unknown option ${unknown}; there are ${known.join(', ')}`);
  return options;
}

module.exports = { TYPES, TEMPERATURES, STATES, ALGORITHMS, numberOf, nameOf, integer, importanceOf, bytesOf, kindOf, optionsOf };
