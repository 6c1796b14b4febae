// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { History, alloc, attach } from '../index.mjs';
import { descriptors, unique } from './tools.mjs';

function file(t) {
  const directory = mkdtempSync(join(tmpdir(), 'agentmem-test-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'session.jsonl');
}

test('a history is its newest state, and holds no other', () => {
  using(new History(), (history) => {
    assert.deepEqual([history.smu, history.size], [null, 0]);
    const first = history.append(`${unique(20)}\n`);
    const before = descriptors();
    let text = String(first);
    for (let step = 0; step < 30; step++) {
      text += `step ${step}\n`;
      history.append(`step ${step}\n`);
    }
    assert.equal(String(history.smu), text);
    assert.equal(history.size, text.length);
    assert.equal(first.closed, true);
    assert.equal(descriptors(), before);
  });
});

test('a history goes on from an object that is there', () => {
  const begun = alloc({ type: 'conversation', data: `${unique(50)}\n` });
  using(new History({ smu: attach(begun.digest) }), (history) => {
    assert.equal(String(history.append('more\n')), `${String(begun)}more\n`);
  });
});

test('a file is followed line by line as it grows', (t) => {
  const path = file(t);
  using(new History(), (history) => {
    writeFileSync(path, '');
    assert.equal(history.follow(path), null);
    writeFileSync(path, `${unique(9000)}\n{"half": `);
    assert.equal(history.follow(path).size, 9001);
    appendFileSync(path, '"line"}\n');
    assert.equal(String(history.follow(path)), readFileSync(path, 'utf8'));
    const state = history.smu;
    assert.equal(history.follow(path), state, 'nothing new, nothing made');
  });
});

test('a file that was written anew is taken from its beginning', (t) => {
  const path = file(t);
  using(new History(), (history) => {
    writeFileSync(path, `${unique(9000)}\n`);
    history.follow(path);
    for (const content of [`${unique(40)}\n`, `${unique(12000)}\n${unique(10)}\n`]) {
      writeFileSync(path, content);
      assert.equal(String(history.follow(path)), content);
    }
    writeFileSync(path, '');
    assert.equal(history.follow(path), null);
  });
});

/** As `using` does, which the oldest Node has not. */
function using(history, body) {
  try {
    body(history);
  } finally {
    history[Symbol.dispose]();
  }
}
