// SPDX-License-Identifier: GPL-2.0-only
// Agent processes that hold a pack's texts through the binding for Node; runs in a guest that has the host's files.
//
//     node agents.js BINDING PACK
//
// Prints what they hold as JSON, and whether it came back as it was. Each agent is a process: it puts its texts, marks
// itself COLD as who waits for its user, and reads all of it when the others are done, too.
'use strict';

const { fork } = require('node:child_process');
const { createHash } = require('node:crypto');
const { fstatSync, openSync, readSync } = require('node:fs');

const [path, file, number] = process.argv.slice(2);
const { agent, alloc, backend, mark, stats } = require(path);

const [HEADER, AGENT, REF, BLOB] = [32, 8, 8, 48]; // bytes, as harness/fleet.py writes them
const TYPES = ['conversation', 'system-prompt', 'tool-def'];

class Pack {
  constructor(file) {
    this.fd = openSync(file);
    const header = this.read(0, HEADER);
    this.agents = header.readUInt32LE(8);
    this.refs = HEADER + this.agents * AGENT;
    this.blobs = this.refs + header.readUInt32LE(12) * REF;
  }

  read(from, length) {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; ) {
      const got = readSync(this.fd, bytes, at, length - at, from + at);
      if (!got) throw new Error('the pack file is short');
      at += got;
    }
    return bytes;
  }

  *texts(agent) {
    const span = this.read(HEADER + agent * AGENT, AGENT);
    const refs = this.read(this.refs + span.readUInt32LE(0) * REF, span.readUInt32LE(4) * REF);
    for (let at = 0; at < refs.length; at += REF) {
      const blob = this.read(this.blobs + refs.readUInt32LE(at) * BLOB, BLOB);
      const data = this.read(Number(blob.readBigUInt64LE(0)), Number(blob.readBigUInt64LE(8)));
      yield { type: TYPES[refs.readUInt32LE(at + 4)], data, digest: blob.toString('hex', 16) };
    }
  }
}

// One agent's life: tells the inodes of what it holds, and what of it was there; then, how many texts differ.
function hold(pack, number) {
  agent({ name: `agent-${number}` });
  const held = [];
  for (const { type, data, digest } of pack.texts(number)) held.push([alloc({ type, data }), digest]);
  mark('self', { temperature: 'cold' });
  process.send(held.map(([smu]) => [fstatSync(smu.fd).ino, smu.dedup]));
  process.once('message', () => {
    const sum = (smu) => createHash('sha256').update(smu.buffer).digest('hex');
    process.send(held.filter(([smu, digest]) => sum(smu) !== digest).length, () => process.disconnect());
  });
}

function answer(child) {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code, signal) => reject(new Error(signal ? `${signal} ended an agent` : '')));
  });
}

async function main(pack) {
  const children = Array.from({ length: pack.agents }, (_, each) => fork(__filename, [path, file, String(each)]));
  const held = (await Promise.all(children.map(answer))).flat();
  const figures = stats('domain');
  const answers = children.map(answer);
  for (const child of children) child.send('read');
  const differ = (await Promise.all(answers)).reduce((sum, each) => sum + each, 0);
  return {
    runtime: `Node ${process.versions.node}`,
    backend: backend(),
    agents: children.length,
    texts: held.length,
    objects: new Set(held.map(([inode]) => inode)).size,
    logical_bytes: figures.logicalBytes,
    unique_bytes: figures.uniqueBytes,
    resident_bytes: figures.residentTop + figures.residentLower,
    stored_bytes: figures.storedBytes,
    dedup_hits: held.filter(([, dedup]) => dedup).length,
    differ,
  };
}

process.on('uncaughtException', (error) => {
  if (error.message) console.error(error.message); // an agent that ended has said why
  process.exit(1);
});
if (number === undefined) main(new Pack(file)).then((told) => console.log(JSON.stringify(told)));
else hold(new Pack(file), Number(number));
