// Loaded before a command (node --import): leaves it as many descriptors as KVFIO_SPARE says, and no more.
import {execFileSync} from 'node:child_process';
import {readdirSync} from 'node:fs';

const open = new Set(readdirSync('/proc/self/fd').map(Number));
let limit = 0;
for (let spare = Number(process.env.KVFIO_SPARE); spare > 0 || open.has(limit); limit += 1)
  if (!open.has(limit)) spare -= 1;
limit = Math.max(limit, ...[...open].filter((fd) => fd < 200).map((fd) => fd + 1));
execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${limit}:${limit}`]);
