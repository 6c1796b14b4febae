// SPDX-License-Identifier: MIT
'use strict';

const { closeSync, fstatSync, openSync, readSync } = require('node:fs');
const { alloc, append } = require('./smu.js');

const NEWLINE = 0x0a;
const CHECKED = 4096; // bytes before the end of what is kept that a file has to have, too

/** A text that only grows, kept as an Smu: its newest state takes the place of the one before. */
class History {
  #smu;
  #type;

  constructor({ smu = null, type = 'conversation' } = {}) {
    this.#smu = smu;
    this.#type = type;
  }

  get smu() {
    return this.#smu;
  }

  get size() {
    return this.#smu?.size ?? 0;
  }

  append(data) {
    this.#become(this.#smu ? append(this.#smu, data) : alloc({ type: this.#type, data }));
    return this.#smu;
  }

  /** Takes up what a file of lines has beyond this; one that was written anew is taken from its beginning. */
  follow(path) {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      const goesOn = this.#smu && size >= this.size && this.#isPrefixOf(file);
      const from = goesOn ? this.size : 0;
      const more = wholeLines(read(file, from, size - from));
      if (goesOn && more.length) this.append(more);
      else if (!goesOn && more.length) this.#become(alloc({ type: this.#type, data: more }));
      else if (!goesOn) this.close();
    } finally {
      closeSync(file);
    }
    return this.#smu;
  }

  close() {
    this.#smu?.close();
    this.#smu = null;
  }

  [Symbol.dispose]() {
    this.close();
  }

  #become(smu) {
    this.#smu?.close();
    this.#smu = smu;
  }

  #isPrefixOf(file) {
    const from = Math.max(0, this.size - CHECKED);
    return read(file, from, this.size - from).equals(this.#smu.copy(from));
  }
}

function read(file, from, size) {
  const buffer = Buffer.allocUnsafe(size);
  let got = 0;
  for (let part = 1; part && got < size; got += part) part = readSync(file, buffer, got, size - got, from + got);
  return buffer.subarray(0, got);
}

/** The last line may be in the midst of being written. */
function wholeLines(buffer) {
  return buffer.subarray(0, buffer.lastIndexOf(NEWLINE) + 1);
}

module.exports = { History };
