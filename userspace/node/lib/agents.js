// SPDX-License-Identifier: MIT
// Agents: who they are, how they and their objects are used, figures.
'use strict';

const native = require('./native.js');
const { check, invalidType, invalidValue } = require('./errors.js');
const { handleOf, Smu } = require('./smu.js');
const { ALGORITHMS, STATES, TEMPERATURES, TYPES, importanceOf, integer, nameOf, numberOf, optionsOf } = require('./values.js');

const SAYS = { temperature: 1 << 0, state: 1 << 1, importance: 1 << 2, node: 1 << 3, name: 1 << 4 };
const SCOPES = { agent: 1, domain: 2, system: 3 };
const NAME_MAX = 255; // bytes
const SELF = 0;

/** A target of mark() or stats() as [handle, pid]. */
function targetOf(target, call) {
  if (target === undefined || target === 'self') return [null, SELF];
  if (target instanceof Smu) return [handleOf(target, call), SELF];
  if (typeof target === 'number') return [null, integer(target, 'pid', 1)];
  throw invalidType(`${call}: the target must be an Smu, the pid of a process, or 'self'`);
}

/** As many whole characters of a name as there is room for. */
function nameBytes(name) {
  if (typeof name !== 'string') throw invalidType('name must be a string');
  if (name === '') throw invalidValue('name must not be empty');
  if (name.includes('\0')) throw invalidValue('name must not have a null character');
  const bytes = Buffer.from(name);
  let end = Math.min(bytes.length, NAME_MAX);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

function markArguments(target, options, call) {
  const [handle, pid] = targetOf(target, call);
  const { ...said } = optionsOf(options, Object.keys(SAYS));
  for (const key of Object.keys(said)) if (said[key] === undefined) delete said[key];
  if (Object.keys(said).length === 0) said.temperature = 'hot';
  return [
    handle,
    pid,
    Object.keys(said).reduce((valid, key) => valid | SAYS[key], 0),
    said.temperature === undefined ? 0 : numberOf(TEMPERATURES, said.temperature, 'temperature'),
    said.state === undefined ? 0 : numberOf(STATES, said.state, 'state'),
    said.importance === undefined ? 0 : importanceOf(said.importance),
    said.node === undefined ? -1 : integer(said.node, 'node', -1),
    said.name === undefined ? Buffer.alloc(0) : nameBytes(said.name),
  ];
}

function mark(target, options) {
  check(native.mark(...markArguments(target, options, 'mark')), 'mark');
}

async function markAsync(target, options) {
  check(await native.markAsync(...markArguments(target, options, 'mark')), 'mark');
}

function agent(description) {
  const said = optionsOf(description, ['name', 'importance', 'state']);
  if (Object.values(said).every((value) => value === undefined))
    throw invalidValue('agent() takes a name, an importance or a state');
  check(native.mark(...markArguments('self', said, 'agent')), 'agent');
}

function stats(target) {
  if (target instanceof Smu) {
    const figures = check(native.smuStats(handleOf(target, 'stats')), 'stats');
    return {
      ...figures,
      type: nameOf(TYPES, figures.type),
      temperature: nameOf(TEMPERATURES, figures.temperature),
      algorithm: nameOf(ALGORITHMS, figures.algorithm),
    };
  }
  const sum = target === 'domain' || target === 'system';
  const [, pid] = sum ? [] : targetOf(target, 'stats');
  const figures = check(native.agentStats(SCOPES[sum ? target : 'agent'], pid ?? SELF), 'stats');
  return { ...figures, state: figures.state ? nameOf(STATES, figures.state) : null };
}

const agents = () => check(native.agents(), 'agents');
const backend = () => check(native.backend(), 'backend');

module.exports = { agent, agents, backend, mark, markAsync, stats };
