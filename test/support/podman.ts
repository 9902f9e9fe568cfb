import {spawnSync} from 'node:child_process';
import {cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {which} from '../../src/lab/programs.js';
import type {Outcome} from './run.js';

/**
 * A podman that has, in a mount namespace of its own, an /etc/cdi with one file, and where it is asked for a /dev with
 * stand-ins. What it stores is in a folder of its own; its one image is a static busybox.
 */
export class Podman implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'kvfio-podman-'));

  constructor() {
    mkdirSync(join(this.#folder, 'image/bin'), {recursive: true});
    cpSync(which('busybox', process.env['PATH'] ?? '') ?? 'busybox', join(this.#folder, 'image/bin/busybox'));
  }

  /**
   * Runs a script of busybox in a container that has devices.
   *
   * @param spec the file in /etc/cdi
   * @param nodes paths below /dev to make, each as another name of /dev/kvm: a real device that containers do not have
   */
  run(
    script: string,
    {spec, devices, nodes = []}: {spec: string; devices: readonly string[]; nodes?: readonly string[]},
  ): Outcome {
    writeFileSync(join(this.#folder, 'kvfio.json'), spec);
    const given = devices.flatMap((device) => ['--device', device]);
    const {status, stdout, stderr} = spawnSync(
      'unshare',
      [
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-eu',
        '-c',
        SCRIPT,
        'sh',
        nodes.join(' '),
        script,
        ...given,
      ],
      {cwd: this.#folder, encoding: 'utf8', env: {PATH: process.env['PATH'] ?? '', HOME: this.#folder}},
    );
    return {exit: status ?? -1, stdout, stderr};
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, {recursive: true, force: true});
  }
}

/**
 * crun refuses a hybrid of both versions of cgroups, so there it is shown the first alone. The limits are lower than podman's, which not every root
 * may set.
 */
const SCRIPT = `
nodes=$1
script=$2
shift 2
mount -t tmpfs none /mnt
cp -r kvfio.json image /mnt
cd /mnt
if [ -d /sys/fs/cgroup/unified ]; then
  for each in /sys/fs/cgroup/*/; do
    name=$(basename "$each")
    [ "$name" != unified ] || continue
    mkdir -p "cgroup/$name"
    mount --bind "$each" "cgroup/$name"
  done
  mount --rbind cgroup /sys/fs/cgroup
fi
if [ -n "$nodes" ]; then
  mkdir dev
  cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/kvm dev
  mkdir dev/pts dev/shm
  for each in $nodes; do
    mkdir -p "dev/$(dirname "$each")"
    cp -a /dev/kvm "dev/$each"
  done
  mount --rbind dev /dev
fi
mkdir up scratch
mount -t overlay overlay -o lowerdir=/etc,upperdir=up,workdir=scratch /etc
mkdir -p /etc/cdi
rm -f /etc/cdi/*
cp kvfio.json /etc/cdi/
mkdir big
podman() {
  TMPDIR=/mnt/big command podman --root /mnt/store --runroot /mnt/run --tmpdir /mnt/tmp --storage-driver vfs \\
    --cgroup-manager cgroupfs --events-backend none "$@"
}
tar -C image -c . | podman import --quiet - localhost/busybox > import.log 2>&1 || { cat import.log >&2; exit 1; }
podman run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@" localhost/busybox \\
  /bin/busybox sh -c "$script"
`;
