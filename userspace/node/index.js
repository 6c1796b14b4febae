// SPDX-License-Identifier: MIT
'use strict';

const { Smu, adopt, alloc, allocAsync, append, appendAsync, attach, attachAsync, share } = require('./lib/smu.js');
const { History } = require('./lib/history.js');
const { agent, agents, backend, mark, markAsync, stats } = require('./lib/agents.js');

module.exports = {
  History, Smu, adopt, agent, agents, alloc, allocAsync, append, appendAsync, attach, attachAsync, backend, mark, markAsync, share, stats,
};
