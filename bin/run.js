#!/usr/bin/env node
const {join} = require('node:path');
const {start} = require('../dist/bundle/cli/start.js');

void start(join(__dirname, '..'));
