/**
 * Runs in the lab: binds one device more, exports the groups to podman, and gives containers some of them. Its arguments are
 * the words that start kvfio, and the last is the file to write.
 */
import {spawnSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {Podman} from '../support/podman.js';
import type {Outcome} from '../support/run.js';

/** What containers were given, and what they said. */
export interface PodmanTranscript {
  spec: string;
  /** With the devices of two groups. */
  both: Outcome;
  /** With the device of a group that is not bound to VFIO. */
  unbound: Outcome;
  /** With one of the groups, while another process has it open. */
  held: Outcome;
}

const [, , ...words] = process.argv;
const output = words.pop() ?? '';
const kvfio = (...argv: string[]): string => {
  const [program = '', ...before] = words;
  const {status, stdout, stderr} = spawnSync(program, [...before, ...argv], {encoding: 'utf8'});
  if (status !== 0) throw new Error(`kvfio ${argv.join(' ')}: ${stderr}`);
  return stdout;
};

const HOLD = 'exec 3<>/dev/vfio/12 && busybox sh -c "exec 4<>/dev/vfio/12"';
const LOOK =
  'cd /dev/vfio && for each in *; do exec 3<>$each || exit 1; exec 3>&-; echo $each; done; busybox env';

kvfio('bind', '--device', '0000:01:00.0');
const spec = kvfio('export', 'cdi');
using podman = new Podman();
const transcript: PodmanTranscript = {
  spec,
  both: podman.run(LOOK, {spec, devices: ['kvfio/vfio=group9', 'kvfio/vfio=group12']}),
  unbound: podman.run(LOOK, {spec, devices: ['kvfio/vfio=group1']}),
  held: podman.run(HOLD, {spec, devices: ['kvfio/vfio=group12']}),
};
writeFileSync(output, JSON.stringify(transcript));
